//go:build race

package model

// epochs is the share of an epoch that the tests train for: the race detector makes training twenty times slower.
const epochs = 0.1
