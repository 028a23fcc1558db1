package scalar

import "starling/mixing/philox"

// Uniform is the u of [Encode] in a run in which records are checked: a function of the place of a record, so that the author of a record
// can choose neither its direction nor how it is rounded.
func Uniform(peer, seq uint64, epoch uint32) float64 {
	return philox.Unit(philox.Block(peer, [4]uint32{uint32(seq), uint32(seq >> 32), epoch, philox.Rounding})[0])
}

// Byte is the record that a slope makes in a run in which records are checked: rounded by [Uniform], and clipped as its epoch wants it.
// A slope that is not finite makes a 0, which moves nothing, so that the log goes on.
func (c Config) Byte(slope float64, peer, seq uint64, epoch uint32) byte {
	b, ok := Encode(slope, c.GUnit(), Uniform(peer, seq, epoch))
	if !ok {
		return 0
	}
	return Clip(b, byte(c.Clips.At(epoch)))
}

// Apart is how many steps of the code lie between two bytes: 0 if they are equal, 1 if they are neighbours in the order of their values.
func Apart(a, b byte) int {
	n := place(a) - place(b)
	return max(n, -n)
}

// place counts bytes from 0 in the order of their values, up and down.
func place(b byte) int {
	if b&0x80 != 0 {
		return -int(Code(b))
	}
	return int(b)
}
