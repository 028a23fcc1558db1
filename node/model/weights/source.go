package weights

import (
	"fmt"

	"starling/mixing/spelling"
)

// A Source gives the tensors of a model by name. Names and Tensor are safe for concurrent use.
type Source interface {
	// Names returns the names of all tensors, sorted. The slice must not be changed.
	Names() []string

	// Tensor returns the tensor with a name. It returns an error that says what there is instead if there is none.
	Tensor(name string) (Tensor, error)

	// Close gives back the memory of the file. No tensor of the source may be used afterwards. Closing again does nothing.
	Close() error
}

// Missing is the error for a tensor that a source does not have, among those that it has.
func Missing(name string, names []string) error {
	const most = 1 << 12 // a search among more would take long
	return fmt.Errorf("there is no tensor %s among %d%s", spelling.Quote(name), len(names), spelling.Hint(name, names[:min(len(names), most)]))
}
