//go:build !unix

package main

import "io"

// columns returns the width that every terminal has at least, where the system is not asked.
func columns(io.Writer) int { return 80 }
