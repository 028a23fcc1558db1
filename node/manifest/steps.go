package manifest

import (
	"fmt"
	"strconv"

	"starling/node/manifest/strictyaml"
)

// Steps is a number of local steps, or one pass over the node's data. The zero value is not valid.
type Steps struct {
	Count int  // steps; 0 if Epoch
	Epoch bool // one pass over the node's data
}

// epoch is the text of [Steps] that are one pass.
const epoch = "epoch"

// String returns what a file says: "50" or "epoch".
func (s Steps) String() string {
	if s.Epoch {
		return epoch
	}
	return strconv.Itoa(s.Count)
}

// ParseSteps reads what [Steps.String] writes. Whether a manifest may have so many is for [Manifest.Validate] to say.
func ParseSteps(text string) (Steps, error) {
	if text == epoch {
		return Steps{Epoch: true}, nil
	}
	count, err := strconv.Atoi(text)
	if err != nil {
		return Steps{}, fmt.Errorf("%s is not a number of steps; write a whole number or %s", quote(text), epoch)
	}
	return Steps{Count: count}, nil
}

// ReadSteps reads steps from a document. It is for packages whose files have steps as manifests have them.
func ReadSteps(to *Steps, n *strictyaml.Node) error {
	switch {
	case n.Kind == strictyaml.Text && n.Literal == epoch:
		*to = Steps{Epoch: true}
		return nil
	case n.Kind != strictyaml.Integer:
		return fmt.Errorf("want a whole number or %s, have %s", epoch, n)
	}
	count, err := n.Int()
	if err == nil {
		*to = Steps{Count: count}
	}
	return err
}
