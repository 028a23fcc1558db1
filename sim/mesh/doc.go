// Package mesh is a model of gossipsub as the daemon configures it: who sends which message, request or control record
// to whom, when, and how many bytes that is.
//
// Start with [New] and [Topic.Connect]; then the owner's event loop calls [Topic.Receive] for every [RPC] that arrives,
// [Topic.Accept] for a message that it finds valid, and [Topic.Heartbeat] when a node has asked for it. A topic is a
// pure state machine: it neither reads a clock nor holds a queue, and a stream of random numbers is handed in. Latency,
// bandwidth, loss and the going and coming of nodes are the owner's, who sits behind [Network].
//
// # What is modelled
//
// Every rule of gossipsub 1.1 and 1.2 that decides what honest nodes send: flood publishing; forwarding along the mesh,
// except to where a message came from; the seen cache; IDONTWANT for long messages, which also goes out with one's own,
// is sent before the copies and is forgotten after three heartbeats; the windows of the message cache; IHAVE to
// max(Dlazy, GossipFactor of the others) and IWANT from each who has what is missing; the limits on what one peer may
// advertise within a heartbeat; grafting below Dlo, pruning at Dhi with a quota of outbound connections, the quota's own
// grafts, back-off and its clearing at every fifteenth heartbeat; subscriptions. Bytes are those of the protobuf
// encoding with its length prefix, to the byte.
//
// Peer scores are modelled as far as they steer the mesh among honest nodes: time in mesh and first deliveries, which
// decide whom a crowded mesh keeps and when a node grafts opportunistically.
//
// # What is not
//
//   - Penalties, graylisting and the peer gater: their causes are invalid messages and floods, which adversaries are to
//     model where they act, and honest nodes never meet them.
//   - Peer exchange, direct peers, fanout and partial messages: the daemon does not use them.
//   - Full queues: nothing is lost here. The owner loses what it likes by not calling Receive; only what
//     [Kind.Droppable] allows should be lost, since gossipsub repeats GRAFT and PRUNE that did not fit its queue, and a
//     stream never loses its subscription.
//   - The limit on repeated answers to one IWANT: with at most three advertisements of a message to one peer it is
//     beyond an honest peer's reach.
//   - Several records in one RPC: each answer to an IWANT is an RPC of its own, which costs up to 5 bytes more.
//
// # How well
//
// The calibration in cmd/starling runs 20 real hosts with the daemon's options on a simulated network beside the model:
// copies, sizes of meshes and delays agree within 4 %, the tail of delays within 5 %, and the bytes of a message or control
// record exactly. What the model cannot know is the transport: handshakes, congestion control and packets are the owner's.
//
// # Cost
//
// An idle node costs nothing. Heartbeats are virtual: the cache's windows and all expiry follow from arithmetic on
// times, and a node asks for a heartbeat only when there is something to advertise, the mesh must be mended, or scores
// may call for a better peer.
//
// The simulator and tests may import the package; it imports node for its clock and nothing else of the project.
package mesh
