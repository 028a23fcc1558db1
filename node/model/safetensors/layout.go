package safetensors

import (
	"fmt"

	"starling/mixing"
	"starling/mixing/kernel"
)

// ReadFile reads the parameters of a layout from a file that [Write] or another program has made: it has the tensors of the layout
// under their names and with their shapes, in any number format, and no others. The error names the file and says what is wrong first;
// numbers that are not finite are wrong, too.
func ReadFile(path string, l *mixing.Layout) ([]float32, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	params := make([]float32, l.Len())
	for _, t := range l.Tensors {
		if err := f.read(t, t.Of(params)); err != nil {
			return nil, fmt.Errorf("%s: %w: is it of another model?", path, err)
		}
	}
	if n, want := len(f.Names()), len(l.Tensors); n != want {
		return nil, fmt.Errorf("%s: has %d tensors, and the model %d: is it of another model?", path, n, want)
	}
	if !kernel.Finite(params) {
		return nil, fmt.Errorf("%s: has numbers that are not finite", path)
	}
	return params, nil
}

func (f *File) read(t mixing.Tensor, dst []float32) error {
	have, err := f.Tensor(t.Name)
	if err != nil {
		return err
	}
	if err := have.Want(t.Shape...); err != nil {
		return err
	}
	return have.Decode(dst, 0)
}
