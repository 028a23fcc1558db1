// Package openblas compares the matrix products of package kernel with those of the library OpenBLAS.
//
// Start with its benchmark, for which the library has to be installed:
//
//	go test -tags openblas -bench . ./mixing/kernel/openblas
//
// A library older than the processor takes code for an older one; OPENBLAS_CORETYPE=SkylakeX in the environment makes it use
// AVX-512, so that like is compared with like.
//
// Without the tag the package is empty: nothing of the project needs the library, and no other package may import this one.
package openblas
