package mesh

// A MsgID names a message of one topic. IDs count from 1 in the order of publication; 0 is none.
type MsgID uint32

// A Kind says what an RPC carries.
type Kind uint8

// The kinds of RPC.
const (
	Message     Kind = iota // a message: published or forwarded
	Answer                  // a message, in answer to an IWANT
	IHave                   // what the sender can be asked for
	IWant                   // a request
	IDontWant               // what the sender has already
	Graft                   // the sender put the receiver into its mesh
	Prune                   // the sender took it out, or refuses to be in
	Subscribe               // the sender joined the topic
	Unsubscribe             // the sender left the topic
	kinds
)

// Kinds is the number of kinds.
const Kinds = int(kinds)

// String returns the kind's name, as gossipsub writes it.
func (k Kind) String() string {
	names := [...]string{"message", "answer", "IHAVE", "IWANT", "IDONTWANT", "GRAFT", "PRUNE", "subscribe", "unsubscribe"}
	return names[k]
}

// Copy reports whether an RPC carries a message.
func (k Kind) Copy() bool { return k == Message || k == Answer }

// Urgent reports whether an RPC overtakes what else waits for the same peer.
func (k Kind) Urgent() bool { return k == IDontWant }

// Droppable reports whether gossipsub lets an RPC of the kind be lost when a queue is full. The others are repeated, so
// that to lose one would model a fault that does not exist.
func (k Kind) Droppable() bool { return k <= IDontWant }

// An RPC is what one node sends to another at once. It is a small value; IDs may be shared among several RPCs and must
// not be changed.
type RPC struct {
	Kind  Kind
	Leave bool    // a Prune because the sender leaves: the back-off is the shorter one
	Bytes int32   // on the stream: the encoding and its length prefix
	Msg   MsgID   // of Message and Answer, and of an IDontWant
	IDs   []MsgID // of IHave and IWant

	link int32  // index of the receiver's edge to the sender
	life uint32 // of the connection
}

// uv is the length of x as a varint.
func uv(x int) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}

// field is the length of a protobuf field of n bytes with a number below 16.
func field(n int) int { return 1 + uv(n) + n }

// framed is the length of an RPC of n bytes with its length prefix.
func framed(n int) int32 { return int32(uv(n) + n) }

// sizes holds the lengths of RPCs that do not depend on their content.
type sizes struct {
	topic, id int

	graft, prune, leave, subscribe int32
}

func newSizes(c *Config) sizes {
	topic := field(c.TopicLen)
	backoff := func(seconds int) int { return 1 + uv(seconds) }
	return sizes{
		topic: topic, id: field(c.IDLen),
		graft:     control(field(topic)),
		prune:     control(field(topic + backoff(int(c.PruneBackoff/1e9)))),
		leave:     control(field(topic + backoff(int(c.UnsubscribeBackoff/1e9)))),
		subscribe: framed(field(topic + 3*2)), // with three booleans
	}
}

func control(n int) int32 { return framed(field(n)) }

// message is the length of an RPC with a message of n bytes, without author, sequence number and signature.
func (s *sizes) message(n int) int32 { return framed(field(field(n) + s.topic)) }

// answer carries an empty control record beside the message.
func (s *sizes) answer(n int) int32 { return framed(field(field(n)+s.topic) + field(0)) }

func (s *sizes) ihave(ids int) int32 { return control(field(s.topic + ids*s.id)) }

// want is the length of IWANT and IDONTWANT.
func (s *sizes) want(ids int) int32 { return control(field(ids * s.id)) }
