package weights

import "slices"

// A Type is a number format. Formats with blocks keep a scale for every few numbers of a row.
type Type uint8

// The formats that files name. Those up to Q6_K can be decoded; of the others only the size is known.
const (
	F32  Type = iota + 1
	F64       // decoded with a loss
	F16       // IEEE 754 binary16
	BF16      // the upper half of a float32
	Q4_0      // 32 numbers: scale, 4 bits each
	Q4_1      // 32 numbers: scale and minimum, 4 bits each
	Q5_0      // 32 numbers: scale, 5 bits each
	Q5_1      // 32 numbers: scale and minimum, 5 bits each
	Q8_0      // 32 numbers: scale, 8 bits each
	Q4_K      // 256 numbers: 8 scales and minima of 6 bits, 4 bits each
	Q5_K      // 256 numbers: 8 scales and minima of 6 bits, 5 bits each
	Q6_K      // 256 numbers: 16 scales of 8 bits, 6 bits each

	I8
	I16
	I32
	I64
	U8
	U16
	U32
	U64
	Bool
	F8_E4M3
	F8_E5M2
	Q8_1
	Q2_K
	Q3_K
	Q8_K
	IQ1_S
	IQ1_M
	IQ2_XXS
	IQ2_XS
	IQ2_S
	IQ3_XXS
	IQ3_S
	IQ4_NL
	IQ4_XS
	TQ1_0
	TQ2_0
	MXFP4
)

// A format is what is known of a Type.
type format struct {
	name   string
	block  int // numbers of a block
	bytes  int // of a block
	decode func(dst []float32, src []byte)
}

// formats is indexed by Type; number 0 is no type.
var formats = [...]format{
	F32: {"F32", 1, 4, decodeF32}, F64: {"F64", 1, 8, decodeF64}, F16: {"F16", 1, 2, decodeF16}, BF16: {"BF16", 1, 2, decodeBF16},
	Q4_0: {"Q4_0", 32, 18, decodeQ4_0}, Q4_1: {"Q4_1", 32, 20, decodeQ4_1}, Q5_0: {"Q5_0", 32, 22, decodeQ5_0}, Q5_1: {"Q5_1", 32, 24, decodeQ5_1},
	Q8_0: {"Q8_0", 32, 34, decodeQ8_0}, Q4_K: {"Q4_K", 256, 144, decodeQ4_K}, Q5_K: {"Q5_K", 256, 176, decodeQ5_K}, Q6_K: {"Q6_K", 256, 210, decodeQ6_K},

	I8: {"I8", 1, 1, nil}, I16: {"I16", 1, 2, nil}, I32: {"I32", 1, 4, nil}, I64: {"I64", 1, 8, nil},
	U8: {"U8", 1, 1, nil}, U16: {"U16", 1, 2, nil}, U32: {"U32", 1, 4, nil}, U64: {"U64", 1, 8, nil}, Bool: {"BOOL", 1, 1, nil},
	F8_E4M3: {"F8_E4M3", 1, 1, nil}, F8_E5M2: {"F8_E5M2", 1, 1, nil},
	Q8_1: {"Q8_1", 32, 40, nil}, Q2_K: {"Q2_K", 256, 84, nil}, Q3_K: {"Q3_K", 256, 110, nil}, Q8_K: {"Q8_K", 256, 292, nil},
	IQ1_S: {"IQ1_S", 256, 50, nil}, IQ1_M: {"IQ1_M", 256, 56, nil}, IQ2_XXS: {"IQ2_XXS", 256, 66, nil}, IQ2_XS: {"IQ2_XS", 256, 74, nil},
	IQ2_S: {"IQ2_S", 256, 82, nil}, IQ3_XXS: {"IQ3_XXS", 256, 98, nil}, IQ3_S: {"IQ3_S", 256, 110, nil}, IQ4_NL: {"IQ4_NL", 32, 18, nil},
	IQ4_XS: {"IQ4_XS", 256, 136, nil}, TQ1_0: {"TQ1_0", 256, 54, nil}, TQ2_0: {"TQ2_0", 256, 66, nil}, MXFP4: {"MXFP4", 32, 17, nil},
}

// TypeNamed returns the format with a name such as "BF16" or "Q4_1"; ok is false if there is none.
func TypeNamed(name string) (t Type, ok bool) {
	i := slices.IndexFunc(formats[:], func(f format) bool { return f.name == name })
	return Type(max(i, 0)), i > 0 && name != ""
}

func (t Type) valid() bool { return t > 0 && int(t) < len(formats) }

// String returns the name that files have for the format.
func (t Type) String() string {
	if !t.valid() {
		return "no type"
	}
	return formats[t].name
}

// Decodable reports whether numbers of the format can be decoded to float32.
func (t Type) Decodable() bool { return t.valid() && formats[t].decode != nil }

// Block returns how many numbers a block has and the bytes that it takes; 1 and the size of one number for
// plain formats, zeros for no format.
func (t Type) Block() (numbers, bytes int) {
	if !t.valid() {
		return 0, 0
	}
	return formats[t].block, formats[t].bytes
}
