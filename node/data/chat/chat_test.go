package chat

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

type fixture struct {
	Templates map[string]string
	Cases     []struct {
		Template string
		Messages []Message
		Prompt   bool
		Want     *string // nil where the template refuses
	}
}

func reference(t testing.TB) (f fixture) {
	t.Helper()
	text, err := os.ReadFile("testdata/reference.json")
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestConversationsAreRenderedAsByTheReference(t *testing.T) {
	f := reference(t)
	for _, c := range f.Cases {
		template, err := Parse(f.Templates[c.Template], "<B>", "<E>")
		if err != nil {
			t.Fatalf("%s: %v", c.Template, err)
		}
		got, err := template.Render(c.Messages, c.Prompt)
		switch {
		case c.Want == nil:
			if err == nil || !strings.Contains(err.Error(), "refuses the conversation: roles must alternate") {
				t.Errorf("%s of %v: %q %v, want an error", c.Template, c.Messages, got, err)
			}
		case err != nil || got != *c.Want:
			t.Errorf("%s of %v with prompt %t:\nhave %q %v\nwant %q", c.Template, c.Messages, c.Prompt, got, err, *c.Want)
		}
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{% macro x() %}{% endmacro %}":         `"macro" is not known here`,
		"{% include 'x' %}":                     `"include" is not known here`,
		"a\n\n{% if x %}":                       `line 3: the template ends where "endif" should be`,
		"{% endif %}":                           `"endif" is not known here`,
		"{% for x in y %}{% endif %}":           `"endif" is not known here`,
		"{{ x ":                                 "a tag does not end",
		"{# x":                                  "a comment does not end",
		"{{ 'x }}":                              "a text in quotes does not end",
		"{{ '\\x41' }}":                         `escape \x`,
		"{{ x ? y }}":                           `"? y }}" has no place in a tag`,
		"{{ 1.5 }}":                             `number "1.5"`,
		"{{ 1 < 2 < 3 }}":                       "comparisons in a row",
		"{{ (1, 2] }}":                          `where ")" should be`,
		"{{ a b }}":                             `there is "b" where the tag should end`,
		"{% set x %}a{% endset %}":              `where "=" should be`,
		"{{ [1] }}":                             "a list cannot be printed",
		"{{ x.y }}":                             `"x" is not there, and has no "y"`,
		"{{ x() }}":                             `"x", which is not there, cannot be called`,
		"{{ 'a' + 1 }}":                         "a text + a number makes no sense",
		"{{ 1 / 2 }}":                           "a number / a number makes no sense",
		"{{ 1 // 0 }}":                          "division by zero",
		"{{ 'a'|sort }}":                        `filter "sort"`,
		"{{ 'a'|upper(x=1) }}":                  `named values`,
		"{{ 'a'|trim|tojson(sort_keys=true) }}": `tojson with "sort_keys"`,
		"{{ 'a' is callable }}":                 `test "callable"`,
		"{{ raise_exception('no') }}":           "it refuses the conversation: no",
		"{% set x.y = 1 %}":                     "x is no namespace",
		"{% for a, b in [1] %}{% endfor %}":     "a number is not 2 values",
		"{% for a in 1 %}{% endfor %}":          "a number has no elements",
		"{{ strftime_now('%Y') }}":              "cannot be called",
		"{{ 'abc'[::0] }}":                      "steps of 0",
		"{{ range(1, 2, 0) }}":                  "range takes",
		"{% for i in range(9999999999) %}{% endfor %}":                                 "numbers up to",
		"{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}": "makes more than",
		"{{ 'starling' * 2 }}": "a text * a number makes no sense",
		"{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}":                                 "67108864 bytes",
		"{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s|replace('x', n.s) %}{% endfor %}":                    "67108864 bytes",
		"{% for a in range(99) %}{% for b in range(99) %}{% for c in range(99) %}{{ a + b + c }}{% endfor %}{% endfor %}{% endfor %}": "does not end within",
		strings.Repeat("{% if 1 %}", 200):                                        "levels of nesting",
		"{{ " + strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200) + "}}": "levels of nesting",
		"{{ " + strings.Repeat("not ", 200) + "}}":                               "levels of nesting",
		"{{ a" + strings.Repeat(" - -", 200) + "}}":                              "levels of nesting",
		strings.Repeat("x", maxTemplate+1):                                       "at most 262144 are read",
	} {
		if testing.Short() && strings.Contains(text, "in range(99") {
			continue // these work until they are stopped
		}
		template, err := Parse(text, "", "")
		if err == nil {
			_, err = template.Render([]Message{{"user", "x"}}, false)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func TestTurnsTellWhatIsToBeLearned(t *testing.T) {
	template, err := Parse(reference(t).Templates["chatml"], "", "")
	if err != nil {
		t.Fatal(err)
	}
	messages := []Message{{"system", "S"}, {"user", "a"}, {"assistant", "A"}, {"user", "b"}, {"assistant", "B"}}
	turns, err := template.Turns(messages)
	if err != nil {
		t.Fatal(err)
	}
	whole, learned := "", ""
	for _, turn := range turns {
		whole += turn.Text
		if turn.Learn {
			learned += turn.Text
		}
	}
	if want, _ := template.Render(messages, false); whole != want {
		t.Errorf("turns are %q, the conversation is %q", whole, want)
	}
	if want := "A<|im_end|>\n\nB<|im_end|>\n\n"; learned != want {
		t.Errorf("%q is to be learned, want %q", learned, want)
	}
	if turns, err := template.Turns(messages[:2]); err != nil || len(turns) != 1 || turns[0].Learn {
		t.Errorf("without an assistant: %v %v", turns, err)
	}
	if _, err := template.Turns(nil); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty conversation: %v", err)
	}
	for _, text := range []string{
		"{% for m in messages %}{{ m.content }}{% if loop.last %}.{% endif %}{% endfor %}",                         // the last message is written otherwise
		"{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}never written{% endif %}", // the prompt is no beginning of the answer
	} {
		template, err := Parse(text, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if turns, err := template.Turns(messages); err == nil || !strings.Contains(err.Error(), "message 2 cannot be told") {
			t.Errorf("%s: %v %v", text, turns, err)
		}
	}
}

// FuzzRender: no template does harm, and the same template renders the same.
func FuzzRender(f *testing.F) {
	for _, text := range reference(f).Templates {
		f.Add(text, "hello\n")
	}
	f.Fuzz(func(t *testing.T, text, content string) {
		template, err := Parse(text, "<B>", "<E>")
		if err != nil {
			return
		}
		messages := []Message{{"system", "s"}, {"user", content}, {"assistant", content}}
		one, err1 := template.Render(messages, true)
		two, err2 := template.Render(messages, true)
		if one != two || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q is rendered to %q %v and %q %v", text, one, err1, two, err2)
		}
		_, _ = template.Turns(messages)
	})
}
