package data

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxDocument bounds a line of a file of documents in bytes.
const maxDocument = 16 << 20

// openJSONL finds a file of documents, one JSON object a line: {"text": …}, {"prompt": …, "completion": …}, of which the completion is
// learnt, or {"messages": [{"role": …, "content": …}, …]}, of which the words of the assistant are.
func openJSONL(arg string) (*Source, error) {
	held, file, err := HeldFile("jsonl", arg)
	if err != nil {
		return nil, fmt.Errorf("data %w", err)
	}
	if _, err := sizeOf(file, ""); err != nil {
		return nil, err
	}
	j := jsonl{file: file, held: held}
	s := &Source{name: file, classes: textClasses, tokens: j.tokens}
	s.windows = func(length int) (*Source, error) { return s.Tokens(Bytes{}, length) }
	s.load = rowless(file)
	return s, nil
}

type jsonl struct {
	file string
	held float64
}

// tokens reads the file and packs its documents: those held out are spread evenly over it.
func (j jsonl) tokens(by Tokenizer, length int) (train, test sequences, err error) {
	f, err := os.Open(j.file)
	if err != nil {
		return train, test, err
	}
	defer f.Close()
	parts := [2][]document{}
	count, learnt := 0, [2]int{}
	err = lines(f, func(line []byte) error {
		d, err := documentOf(line, by)
		if err != nil {
			return err
		}
		part := 0
		if int(float64(j.held)*float64(count+1)) > int(float64(j.held)*float64(count)) {
			part = 1
		}
		for _, learn := range d.learn[min(1, len(d.learn)):] {
			if learn {
				learnt[part]++
			}
		}
		count++
		parts[part] = append(parts[part], d)
		return nil
	})
	switch {
	case err != nil:
		return train, test, err
	case learnt[0] == 0 || learnt[1] == 0:
		return train, test, fmt.Errorf("%d documents, %d of them held out for evaluation, have %d and %d tokens to learn: both parts want some; add documents, or hold out another share, jsonl:held=0.2:FILE",
			count, len(parts[1]), learnt[0], learnt[1])
	}
	return pack(parts[0], length, by.End()), pack(parts[1], length, by.End()), nil
}

// lines calls use with each line that is not blank. Errors name the line.
func lines(r io.Reader, use func(line []byte) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxDocument)
	n := 0
	for in.Scan() {
		n++
		line := bytes.TrimSpace(in.Bytes())
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			continue
		}
		if err := use(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: is longer than %d bytes", n+1, maxDocument)
	} else if err != nil {
		return err
	}
	return nil
}

// documentOf returns the tokens of a line.
func documentOf(line []byte, by Tokenizer) (d document, err error) {
	var l struct {
		Text       *string `json:"text"`
		Prompt     *string `json:"prompt"`
		Completion *string `json:"completion"`
		Messages   []struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return d, fmt.Errorf("is not a document: %s", jsonTrouble(err))
	}
	forms := 0
	for _, there := range []bool{l.Text != nil, l.Prompt != nil || l.Completion != nil, l.Messages != nil} {
		if there {
			forms++
		}
	}
	switch {
	case forms != 1:
		return d, fmt.Errorf(`has %d of the forms {"text": …}, {"prompt": …, "completion": …} and {"messages": […]}; a line is one of them`, forms)
	case l.Text != nil:
		d.add(by.Begin(), false)
		d.add(by.Encode(*l.Text), true)
		d.add([]int32{by.End()}, true)
	case l.Messages != nil:
		turns := make([]Turn, len(l.Messages))
		for i, m := range l.Messages {
			if m.Role == "" {
				return d, fmt.Errorf("message %d has no role; it is system, user or assistant", i+1)
			}
			turns[i] = Turn{m.Role, m.Content}
		}
		if d.tokens, d.learn, err = by.Dialogue(turns); err != nil {
			return d, err
		}
	case l.Prompt == nil || l.Completion == nil:
		return d, errors.New("has a prompt or a completion, but not both")
	default:
		d.add(by.Begin(), false)
		d.add(by.Encode(*l.Prompt), false)
		d.add(by.Encode(*l.Completion), true)
		d.add([]int32{by.End()}, true)
	}
	return d, nil
}

// jsonTrouble says what is wrong with a line, without the names of Go's types.
func jsonTrouble(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("%s: has a value of another kind, %s", kind.Field, kind.Value)
	}
	return err.Error()
}
