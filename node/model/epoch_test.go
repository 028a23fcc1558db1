//go:build !race

package model

// epochs is the share of an epoch that the tests train for.
const epochs = 1
