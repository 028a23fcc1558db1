//go:build !linux

package thin

import (
	"context"
	"fmt"
	"os/exec"

	"starling/node/daemon/demo"
)

// A Net is a network of thin links, on Linux.
type Net struct{}

// Open returns [ErrNotPermitted]: network namespaces are a thing of Linux.
func Open(Config) (*Net, error) { return nil, fmt.Errorf("%w: it is not Linux", ErrNotPermitted) }

// Sites returns nothing.
func (*Net) Sites() []demo.Site { return nil }

// Traffic returns nothing.
func (*Net) Traffic(int) (Traffic, error) { return Traffic{}, ErrNotPermitted }

func (*Net) passed(int) (Traffic, error) { return Traffic{}, ErrNotPermitted }

// Close does nothing.
func (*Net) Close() error { return nil }

// Again returns nil: there is no other way either.
func Again(context.Context) *exec.Cmd { return nil }
