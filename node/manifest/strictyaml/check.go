package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"starling/mixing/spelling"
)

// CheckWord wants one of the known words.
func CheckWord(have string, known []string) error {
	switch {
	case slices.Contains(known, have):
		return nil
	case spelling.Nearest(have, known) != "":
		return fmt.Errorf("%s is not known; did you mean %q?", Quote(have), spelling.Nearest(have, known))
	}
	return fmt.Errorf("%s is not known; use %s", Quote(have), strings.Join(known, " or "))
}

// CheckSpec wants a printable line of at most so many bytes, of which check approves. Its error is one line, whatever
// check says.
func CheckSpec(have string, most int, check func(string) error) error {
	switch {
	case have == "":
		return errors.New("is empty")
	case len(have) > most:
		return fmt.Errorf("has %d bytes; at most %d are allowed", len(have), most)
	case !utf8.ValidString(have) || strings.ContainsFunc(have, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s holds characters that cannot be printed", Quote(have))
	}
	if err := check(have); err != nil {
		return errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	return nil
}

// Scalar writes text bare if every reader of YAML takes it for text, else in double quotes. It is for values of keys in
// block style; inside of [] and {} all text wants quotes.
func Scalar(s string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+"
	bare := s != "" && strings.Trim(s, safe) == "" && !strings.HasSuffix(s, ":")
	if bare {
		switch c := s[0]; {
		case c >= '0' && c <= '9', strings.IndexByte("-_./:=,+", c) >= 0:
			bare = false
		}
		switch strings.ToLower(s) {
		case "true", "false", "yes", "no", "on", "off", "y", "n", "null", "inf", "nan":
			bare = false
		}
	}
	if bare {
		return s
	}
	return strconv.Quote(s)
}
