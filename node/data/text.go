package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

const (
	maxText     = math.MaxInt32 // bytes: what is trained on lies in memory
	textClasses = 256           // bytes are the tokens
	textHeld    = 0.1           // share held out for evaluation if the specification has none
)

// aText is where a text is on every machine that has Go, for a shell.
const aText = "$(go env GOROOT)/src/testdata/Isaac.Newton-Opticks.txt"

// windows are rows of text: row i has the tokens from i·step on, and its labels are those after each of them.
type windows struct {
	bytes              []byte
	length, step, rows int // step is length where windows follow each other, and length + 1 where each lies alone
}

// row returns the window and the byte after it.
func (w *windows) row(i int32) []byte { return w.bytes[int(i)*w.step:][:w.length+1] }

// A text is cut into a part for training and one held out at its end. It is a file, or bytes in memory.
type text struct {
	name        string // of the file
	train, held int64  // bytes
	bytes       []byte // nil for a file
}

// HeldFile splits what stands behind "text:" or "jsonl:" into the share that is held out and the file.
func HeldFile(kind, arg string) (held float64, file string, err error) {
	held, file = textHeld, arg
	if rest, ok := strings.CutPrefix(arg, "held="); ok {
		share, name, _ := strings.Cut(rest, ":")
		if held, err = strconv.ParseFloat(share, 64); err != nil || !(held > 0 && held < 1) {
			return 0, "", fmt.Errorf("%s:held wants a share between 0 and 1, such as %s:held=0.05:FILE, not %s", kind, kind, spelling.Quote(share))
		}
		file = name
	}
	if strings.TrimSpace(file) != "" {
		return held, file, nil
	}
	which := "each line a document"
	if kind == "text" {
		which = fmt.Sprintf("and any text will do, such as %s; babble is a made one", aText)
	}
	return 0, "", fmt.Errorf("%s: wants a file, %s:FILE or %s:held=SHARE:FILE, or in data.path, %s", kind, kind, kind, which)
}

func openText(arg string) (*Source, error) {
	held, file, err := HeldFile("text", arg)
	if err != nil {
		return nil, fmt.Errorf("data %w", err)
	}
	size, err := sizeOf(file, "; any text will do")
	if err != nil {
		return nil, err
	}
	t := text{name: file, held: int64(held * float64(size))}
	t.train = size - t.held
	return t.source(), nil
}

// sizeOf returns the size of a file that is to lie in memory, in bytes. hint goes behind the error that there is none.
func sizeOf(file, hint string) (int64, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("data %s: there is no such file%s", file, hint)
	case err != nil:
		return 0, fmt.Errorf("data: %w", err)
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("data %s: is not a file", file)
	case info.Size() > maxText:
		return 0, fmt.Errorf("data %s: %d bytes are more than %d", file, info.Size(), maxText)
	}
	return info.Size(), nil
}

// source returns the source that has no rows yet.
func (t text) source() *Source {
	return &Source{name: t.name, classes: textClasses, windows: t.windows, tokens: t.tokens, load: rowless(t.name)}
}

// rowless is the load of a source that has no rows yet.
func rowless(name string) func(bool, []int32) (*Set, error) {
	return func(bool, []int32) (*Set, error) {
		return nil, fmt.Errorf("data %s: text has no rows before a model has said how long they are", name)
	}
}

// windows returns the source of windows of so many tokens.
func (t text) windows(length int) (*Source, error) {
	if length < 1 || length > maxInputs {
		return nil, fmt.Errorf("data %s: windows of %d bytes; they must have from 1 to %d", t.name, length, maxInputs)
	}
	rows, held := (t.train-1)/int64(length), (t.held-1)/int64(length)
	switch {
	case t.train <= int64(length) || t.held <= int64(length):
		return nil, fmt.Errorf("data %s: %d bytes for training and %d for evaluation are too few: both want more than the %d of a window",
			t.name, t.train, t.held, length)
	case rows > maxRows:
		return nil, fmt.Errorf("data %s: %d windows are more than %d", t.name, rows, maxRows)
	}
	s := &Source{name: t.name, inputs: length, classes: textClasses, labels: make([]int32, rows)}
	s.load = func(test bool, wanted []int32) (*Set, error) {
		w := windows{length: length, step: length, rows: int(rows)}
		from := int64(0)
		switch {
		case test:
			w.rows, from = int(held), t.train
		case wanted != nil:
			w.step, w.rows = length+1, len(wanted)
		}
		if err := t.read(&w, from, wanted); err != nil {
			return nil, fmt.Errorf("data %s: %w", t.name, err)
		}
		return &Set{inputs: length, classes: textClasses, windows: w}, nil
	}
	return s, nil
}

// read fills the windows from a place in the file on: all that follow each other there, or the wanted ones of them.
func (t text) read(w *windows, from int64, wanted []int32) error {
	if t.bytes != nil {
		t.copy(w, from, wanted)
		return nil
	}
	f, err := os.Open(t.name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size() != t.train+t.held {
		return errChanged
	}
	if wanted == nil {
		w.bytes = make([]byte, w.rows*w.length+1)
		_, err := f.ReadAt(w.bytes, from)
		return changed(err)
	}
	w.bytes = make([]byte, len(wanted)*w.step)
	in := bufio.NewReaderSize(io.NewSectionReader(f, from, t.train-from), max(1<<16, w.step))
	at := int32(0) // the window that comes next
	for i, row := range wanted {
		if _, err := in.Discard(int(row-at) * w.length); err != nil {
			return changed(err)
		}
		at = row
		b, err := in.Peek(w.step)
		if err != nil {
			return changed(err)
		}
		copy(w.bytes[i*w.step:], b)
	}
	return nil
}

// copy is read of text in memory.
func (t text) copy(w *windows, from int64, wanted []int32) {
	if wanted == nil {
		w.bytes = t.bytes[from:][:w.rows*w.length+1]
		return
	}
	for _, row := range wanted {
		w.bytes = append(w.bytes, t.bytes[int(row)*w.length:][:w.step]...)
	}
}

// changed says what an early end means: the file was long enough when it was opened.
func changed(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errChanged
	}
	return err
}
