package gossip

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// A Link invites to a run: it names the run and where to find it.
type Link struct {
	Run       RunID
	Bootstrap []string // full multiaddrs, each with /p2p/<peer ID>
}

const linkScheme = "starling://"

// Links are bounded, so that they can be pasted and decoding them is cheap.
const (
	maxLink      = 4096
	maxBootstrap = 16
)

// linkText is base32 in lower case without padding: it survives chats, and double-click selects all of it.
var linkText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String returns the link as text: the scheme, then in base32 the run ID, the bootstrap addresses, each ended by a zero
// byte, and the first four bytes of the SHA-256 of all that, by which a truncated or mistyped link is noticed.
func (l Link) String() string {
	b := append([]byte{}, l.Run[:]...)
	for _, a := range l.Bootstrap {
		b = append(append(b, a...), 0)
	}
	return linkScheme + linkText.EncodeToString(append(b, linkSum(b)...))
}

func linkSum(b []byte) []byte {
	sum := sha256.Sum256(append([]byte("starling link 1\x00"), b...))
	return sum[:4]
}

// ParseLink reads a link. Errors say what is wrong with it in words.
func ParseLink(text string) (Link, error) {
	var l Link
	text = strings.TrimSpace(text)
	scheme, rest := text[:min(len(text), len(linkScheme))], text[min(len(text), len(linkScheme)):]
	if !strings.EqualFold(scheme, linkScheme) { // in any case: what follows may have been raised with it
		return l, fmt.Errorf("this is not a starling link: %q does not begin with %s", cut(text), linkScheme)
	}
	if len(rest) > maxLink {
		return l, fmt.Errorf("this is not a starling link: it has %d characters, at most %d are allowed", len(rest), maxLink)
	}
	b, err := linkText.DecodeString(strings.ToLower(rest))
	if err != nil {
		return l, errors.New("this link is damaged: it holds characters that do not belong into one; copy it again")
	}
	if len(b) < len(l.Run)+4 {
		return l, errors.New("this link is cut off: copy all of it")
	}
	b, sum := b[:len(b)-4], b[len(b)-4:]
	if !bytes.Equal(sum, linkSum(b)) {
		return l, errors.New("this link is cut off or mistyped: its checksum is wrong; copy all of it")
	}
	copy(l.Run[:], b)
	b = b[len(l.Run):]
	for len(b) > 0 {
		a, after, ok := bytes.Cut(b, []byte{0})
		if !ok || len(a) == 0 {
			return Link{}, errors.New("this link is damaged: an address has no end")
		}
		l.Bootstrap = append(l.Bootstrap, string(a))
		b = after
	}
	if len(l.Bootstrap) > maxBootstrap {
		return Link{}, fmt.Errorf("this link names %d addresses, at most %d are allowed", len(l.Bootstrap), maxBootstrap)
	}
	if l.String() != linkScheme+strings.ToLower(rest) {
		return Link{}, errors.New("this link is damaged: it has stray bits at its end")
	}
	return l, nil
}

func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
