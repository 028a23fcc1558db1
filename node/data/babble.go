package data

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"starling/mixing/spelling"
)

// The shape of babble. Nothing depends on these numbers but the text itself.
const (
	babbleSize   = 512 << 10 // bytes, if the specification does not say
	babbleTopics = 8
	babbleWords  = 256
	babbleNext   = 3   // favourite successors of a word
	babbleHabit  = 0.6 // share of words that are favourite successors of the word before
)

// BabbleSettings returns the seed and the size in bytes that a specification asks for: "babble", or with one or both settings
// "babble:seed=1,bytes=524288".
func BabbleSettings(spec string) (seed uint64, size int, err error) {
	seed, size = 1, babbleSize
	_, rest, more := strings.Cut(spec, ":")
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case err == nil && key == "seed":
			seed = n
		case err == nil && key == "bytes" && n >= 1000 && n <= 1<<28:
			size = int(n)
		case key == "bytes":
			return 0, 0, fmt.Errorf("data babble wants from 1000 to %d bytes, not %s", 1<<28, spelling.Quote(value))
		default:
			return 0, 0, fmt.Errorf("data babble has the settings seed and bytes, such as babble:seed=1,bytes=524288; %s is none", spelling.Quote(field))
		}
	}
	return seed, size, nil
}

// Babble returns a source of made text, for tests and for whoever has none at hand. Its 256 words are syllables drawn by
// chance. Six words in ten are one of three favourite successors of the word before; the others are drawn by Zipf's law in an
// order that depends on the topic. The eight topics follow each other in the part for training, so that contiguous pieces of
// it differ in what they speak of, as chapters of a book do; the last tenth, which is held out, changes its topic with each
// paragraph. There are at least 1000 bytes.
func Babble(seed uint64, size int) *Source {
	b := babbler{chance: draw(seed, forSynthetic, 3, 0)}
	b.invent()
	held := int(textHeld * float64(size))
	train := size - held
	for topic := range babbleTopics {
		for len(b.text) < (topic+1)*train/babbleTopics {
			b.paragraph(topic)
		}
	}
	b.text = b.text[:train]
	for topic := 0; len(b.text) < size; topic = (topic + 1) % babbleTopics {
		b.paragraph(topic)
	}
	return text{name: "babble", train: int64(train), held: int64(held), bytes: b.text[:size]}.source()
}

// A babbler writes made text.
type babbler struct {
	chance
	words [babbleWords]string
	next  [babbleWords][babbleNext]uint8
	ranks [babbleTopics][babbleWords]int32 // the words of a topic, the most frequent first
	share [babbleWords]float64             // of the words up to each rank, by Zipf's law
	text  []byte
}

// invent makes up the words and who follows whom.
func (b *babbler) invent() {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	taken := make(map[string]bool)
	for i := range b.words {
		for b.words[i] == "" || taken[b.words[i]] {
			var word []byte
			for range 1 + b.below(3) {
				word = append(word, consonants[b.below(uint64(len(consonants)))], vowels[b.below(uint64(len(vowels)))])
			}
			if b.below(2) == 0 {
				word = append(word, consonants[b.below(uint64(len(consonants)))])
			}
			b.words[i] = string(word)
		}
		taken[b.words[i]] = true
		for k := range b.next[i] {
			b.next[i][k] = uint8(b.below(babbleWords))
		}
	}
	for topic := range b.ranks {
		copy(b.ranks[topic][:], upTo(babbleWords))
		b.shuffle(b.ranks[topic][:])
	}
	var sum float64
	for i := range b.share {
		sum += 1 / float64(i+1)
		b.share[i] = sum
	}
	for i := range b.share {
		b.share[i] /= sum
	}
}

// paragraph writes some sentences about a topic.
func (b *babbler) paragraph(topic int) {
	for range 3 + b.below(5) {
		word := b.draw(topic)
		for i := range 4 + b.below(10) {
			from := len(b.text)
			if i > 0 {
				b.text = append(b.text, ' ')
				from++
				word = b.after(word, topic)
			}
			b.text = append(b.text, b.words[word]...)
			if i == 0 {
				b.text[from] -= 'a' - 'A'
			}
		}
		b.text = append(b.text, ". "...)
	}
	b.text[len(b.text)-1] = '\n'
}

func (b *babbler) after(word, topic int) int {
	if b.unit() < babbleHabit {
		return int(b.next[word][b.below(babbleNext)])
	}
	return b.draw(topic)
}

// draw draws a word of a topic.
func (b *babbler) draw(topic int) int {
	u := math.Min(b.unit(), b.share[babbleWords-1])
	lo, hi := 0, babbleWords-1
	for lo < hi {
		if mid := (lo + hi) / 2; b.share[mid] < u {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return int(b.ranks[topic][lo])
}
