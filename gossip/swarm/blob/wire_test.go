package blob

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"starling/storage"
)

func TestRequestsHaveTheDocumentedForm(t *testing.T) {
	id := ID{1, 2, 3}
	open := openRequest{id: id, size: 0x0102030405, list: true}.append(nil)
	want := append([]byte{'O', 1, 2, 3}, make([]byte, 29)...)
	want = append(want, 0, 0, 0, 1, 2, 3, 4, 5, 1)
	if !bytes.Equal(open, want) {
		t.Errorf("open request %x, want %x", open, want)
	}
	if got, want := (chunkRequest{0x010203, 0x10}).append(nil), []byte{'C', 0, 1, 2, 3, 0, 0x10}; !bytes.Equal(got, want) {
		t.Errorf("chunk request %x, want %x", got, want)
	}
	if got, want := appendHead(nil, statusNotFound, 0x0a0b), []byte{1, 0, 0, 10, 11}; !bytes.Equal(got, want) {
		t.Errorf("chunk reply %x, want %x", got, want)
	}
	some := newBitmap(10)
	some.set(0)
	some.set(9)
	if got, want := (openReply{have: some, list: []byte{7, 8}}).append(nil), []byte{0, 1, 1, 2, 7, 8}; !bytes.Equal(got, want) {
		t.Errorf("open reply %x, want %x", got, want)
	}
	if got, want := (openReply{status: statusBusy, have: some}).append(nil), []byte{3}; !bytes.Equal(got, want) {
		t.Errorf("open reply %x, want %x", got, want)
	}
}

func TestMalformedRepliesAreRefused(t *testing.T) {
	q := openRequest{size: 10 * chunkSize}
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"unknown status", []byte{9}, errProtocol},
		{"no holding", []byte{0}, io.EOF},
		{"unknown holding", []byte{0, 2}, errProtocol},
		{"half a bitmap", []byte{0, 1, 0xff}, io.ErrUnexpectedEOF},
		{"bits above the last chunk", []byte{0, 1, 0xff, 4}, errProtocol},
		{"all bits", []byte{0, 1, 0xff, 3}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := readOpenReply(bytes.NewReader(tt.in), q); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzRequests(f *testing.F) {
	f.Add(chunkRequest{1, 2}.append(openRequest{id: ID{1}, size: 3 * chunkSize, list: true}.append(nil)))
	f.Add([]byte("O"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		q, err := readOpen(r)
		if err != nil {
			return
		}
		out := q.append(nil)
		n := chunks(q.size)
		for {
			c, err := readChunkRequest(r, n)
			if err != nil {
				break
			}
			if c.first < 0 || c.count < 1 || c.first+c.count > n {
				t.Fatalf("%+v is outside of %d chunks", c, n)
			}
			out = c.append(out)
		}
		if !bytes.HasPrefix(in, out) {
			t.Errorf("%x reads as %x", in, out)
		}
	})
}

func FuzzReplies(f *testing.F) {
	l := storage.Chunks(make([]byte, 3*chunkSize-5))
	f.Add(l.Size, true, openReply{list: l.Encode()}.append(nil))
	f.Add(l.Size, true, openReply{have: bitmap{5}, list: l.Encode()}.append(nil))
	f.Add(int64(1<<40), true, []byte{0, 1, 0xff})
	f.Add(l.Size, false, append(openReply{}.append(nil), appendHead(nil, statusOK, 0)...))
	f.Fuzz(func(t *testing.T, size int64, list bool, in []byte) {
		if size < 0 || size > 1<<50 {
			return
		}
		q := openRequest{size: size, list: list}
		r := bytes.NewReader(in)
		a, err := readOpenReply(r, q)
		// What is kept is bounded by what came, whatever size was announced.
		if kept := cap(a.list) + cap(a.have); kept > 2*len(in)+2*64<<10 {
			t.Fatalf("%d bytes are kept of %d that came", kept, len(in))
		}
		if err != nil {
			return
		}
		if out := a.append(nil); !bytes.HasPrefix(in, out) {
			t.Errorf("%x reads as %x", in, out)
		}
		if a.status == statusOK && list {
			if l, err := parseList(a.list, Request{ID: ID{}, Size: size}); err == nil {
				t.Errorf("a list of %d bytes has the ID zero", l.Size)
			}
		}
		readHead(r, 0)
	})
}

func TestHonestListIsAccepted(t *testing.T) {
	l := storage.Chunks(noisy(3*chunkSize-5, 1))
	got, err := parseList(l.Encode(), Request{ID: l.ID(), Size: l.Size})
	if diff := cmp.Diff(l, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
