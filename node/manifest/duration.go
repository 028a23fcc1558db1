package manifest

import (
	"fmt"
	"strings"
	"time"

	"starling/node/manifest/strictyaml"
)

// ParseDuration reads a duration such as 100ms, 1.5s or 1h30m. A number without a unit is refused.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || text == "0" || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("%s is not a duration; write a number with ns, us, ms, s, m or h, such as 100ms or 1h30m", quote(text))
	}
	return d, nil
}

// DurationText writes a duration without units that are 0, 1m and not 1m0s, so that [ParseDuration] returns the same one.
func DurationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return strings.Replace(s, "µs", "us", 1)
}

// ReadDuration reads a duration from a document. It is for packages whose files have durations as manifests have them.
func ReadDuration(to *time.Duration, n *strictyaml.Node) error {
	switch n.Kind {
	case strictyaml.Integer, strictyaml.Float:
		return fmt.Errorf("%s has no unit; write %ss, %sms or %sm", n.Literal, n.Literal, n.Literal, n.Literal)
	case strictyaml.Text:
		if text, err := n.Line(); err == nil {
			d, err := ParseDuration(text)
			if err == nil {
				*to = d
			}
			return err
		}
	}
	return fmt.Errorf("want a duration such as 100ms or 1h, have %s", n)
}
