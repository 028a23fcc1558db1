package daemon

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"starling/node/data/tokenizer"
	"starling/node/model/hf"
)

// A recorder keeps what goes over connections, as it is before encryption.
type recorder struct {
	mu   sync.Mutex
	sent bytes.Buffer // guarded by mu
}

type recorded struct {
	net.Conn
	to *recorder
}

func (r recorded) Write(b []byte) (int, error) {
	r.to.mu.Lock()
	r.to.sent.Write(b)
	r.to.mu.Unlock()
	return r.Conn.Write(b)
}

func (r *recorder) contains(what []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.sent.Bytes(), what)
}

// Nothing of the documents of a site goes over the wire while it fine-tunes with others: not as text, and not as tokens in any width.
func TestDocumentsNeverLeaveTheirSite(t *testing.T) {
	model := filepath.Join("..", "model", "hf", "testdata", "smollm2")
	m, err := FineTuning{Model: model, Train: "lora:r=2;full:norms", Context: 32}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	m.Method.Steps.Count = 5
	const secret = "Aunt Philippa hides the opal under the third stair."
	var lines strings.Builder
	for i := range 20 {
		fmt.Fprintf(&lines, `{"prompt": "Where is it, %d?", "completion": "%s"}`+"\n", i, secret)
	}
	file := filepath.Join(t.TempDir(), "private.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var wire recorder
	own := func(home string) Config {
		c := local(home)
		c.Model, c.Data = model, "jsonl:"+file
		c.tap = func(c net.Conn) net.Conn { return recorded{c, &wire} }
		return c
	}
	homes := []string{t.TempDir(), t.TempDir()}
	link, err := CreateRun(homes[0], m, []string{"/ip4/127.0.0.1/tcp/1"})
	if err != nil {
		t.Fatal(err)
	}
	a, stopA := serve(t, link.String(), own(homes[0]))
	link.Bootstrap = slices.DeleteFunc(a.Addrs(), func(addr string) bool { return strings.Contains(addr, "quic") })
	b, stopB := serve(t, link.String(), own(homes[1]))
	r := reports(t, b, "rounds that count", func(r Report) bool { return r.Counted > 2 })
	if err := stopB(); err != nil {
		t.Error(err)
	}
	if err := stopA(); err != nil {
		t.Error(err)
	}
	run := [32]byte(link.Run)
	if n := wire.sent.Len(); int64(n) < r.Sent || !wire.contains(run[:]) {
		t.Fatalf("%d bytes were seen on the wire of the %d that a node alone has sent: the test is blind", n, r.Sent)
	}
	for _, form := range forms(t, model, secret) {
		if wire.contains(form) {
			t.Errorf("the document was sent, as %.40q", form)
		}
	}
}

// forms returns how a part of a text could be sent: as it is, and its tokens as numbers of several widths.
func forms(t *testing.T, model, text string) [][]byte {
	t.Helper()
	c, err := hf.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var words *tokenizer.Tokenizer
	if words, err = c.Tokenizer(); err != nil {
		t.Fatal(err)
	}
	out := [][]byte{[]byte(text[5:21]), []byte("Philippa"), []byte("third stair")}
	tokens := words.NewEncoder().Plain(nil, text)[4:12]
	var wide [4][]byte
	for _, token := range tokens {
		wide[0] = binary.LittleEndian.AppendUint16(wide[0], uint16(token))
		wide[1] = binary.LittleEndian.AppendUint32(wide[1], uint32(token))
		wide[2] = binary.LittleEndian.AppendUint32(wide[2], math.Float32bits(float32(token)))
		wide[3] = binary.AppendUvarint(wide[3], uint64(token))
	}
	return append(out, wide[:]...)
}
