//go:build openblas

package openblas

// #cgo pkg-config: openblas
// #include <cblas.h>
import "C"

// multiply is the product C = A·B, or A·Bᵀ, on one thread. Tests cannot use cgo themselves.
func multiply(transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	C.openblas_set_num_threads(1)
	turn := C.enum_CBLAS_TRANSPOSE(C.CblasNoTrans)
	if transB {
		turn = C.CblasTrans
	}
	C.cblas_sgemm(C.CblasRowMajor, C.CblasNoTrans, turn, C.blasint(m), C.blasint(n), C.blasint(k), 1,
		(*C.float)(&a[0]), C.blasint(lda), (*C.float)(&b[0]), C.blasint(ldb), 0, (*C.float)(&c[0]), C.blasint(ldc))
}

// core names the processor that the library has chosen its code for.
func core() string { return C.GoString(C.openblas_get_corename()) }
