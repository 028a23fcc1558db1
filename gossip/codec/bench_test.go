package codec

import "testing"

// BenchmarkCodecs says what a second of one processor encodes and decodes, in bytes of float32.
func BenchmarkCodecs(b *testing.B) {
	v := gaussian(1<<20, 1)
	for _, c := range all(b) {
		enc, err := c.Encode(nil, v, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.Name()+"/encode", func(b *testing.B) {
			b.SetBytes(4 << 20)
			for b.Loop() {
				if _, err := c.Encode(enc[:0], v, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(8*len(enc))/float64(len(v)), "bits/number")
		})
		b.Run(c.Name()+"/decode", func(b *testing.B) {
			b.SetBytes(4 << 20)
			dst := make([]float32, len(v))
			for b.Loop() {
				if err := c.Decode(dst, enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
