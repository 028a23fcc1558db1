package daemon

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"starling/gossip"
	"starling/gossip/swarm"
	"starling/gossip/swarm/blob"
	"starling/node"
	"starling/node/compute"
	"starling/node/manifest"
	"starling/storage"
)

// A Daemon is one node's part in one run.
type Daemon struct {
	cfg     Config
	log     *slog.Logger
	link    gossip.Link
	dir     string
	key     ed25519.PrivateKey
	signer  gossip.Signer
	self    gossip.PeerID
	started time.Time

	store   *storage.Store
	swarm   *swarm.Swarm
	control *control
	metrics *metrics
	trouble troubles
	up      *rate.Limiter
	down    *rate.Limiter

	// What follows exists once the manifest is known.
	manifest manifest.Manifest
	cells    cells
	program  *compute.Program
	node     *compute.Node
	limits   gossip.Limits
	blobs    *blob.Tiered
	fetcher  *blob.Fetcher
	server   *blob.Server
	resumed  uint64
	held     int                       // tokens that the node had when its process before this one ended
	replica  *compute.Replica          // of the method scalar; nil with another
	hashing  hashing                   // of the replica's model
	base     [32]byte                  // SHA-256 of what its records are added to
	core     atomic.Pointer[node.Core] // Check is for everybody; Step for the loop only

	loop loop
	stop context.CancelFunc // what Ctrl-C does, for an owner who says leave before there is a loop to tell; set by Serve
}

// Open prepares to take part in the run of a link: it opens the identity and the store and begins to listen. Whatever is
// wrong with the machine's side is said here; what needs other nodes happens in Serve. A daemon that was opened must be
// served, which closes it.
func Open(text string, cfg Config) (_ *Daemon, err error) {
	link, err := gossip.ParseLink(text)
	if err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, link: link, dir: RunDir(cfg.Home, link.Run), started: time.Now()}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.key, err = loadKey(cfg.Home); err != nil {
		return nil, err
	}
	d.signer = gossip.Ed25519Signer(d.key)
	d.self = d.signer.ID()
	d.log = cfg.Logger.With("node", d.self.Short())
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	d.store, err = storage.Open(filepath.Join(d.dir, storeDir), storage.Options{Logger: d.log, DiskLimit: cmp.Or(cfg.diskLimit, cfg.caps.disk)})
	if errors.Is(err, storage.ErrLocked) {
		return nil, fmt.Errorf("%w: a node of this home takes part in the run already, see `starling status`; a second one on this machine needs a --home of its own", err)
	}
	if err != nil {
		return nil, err
	}
	d.up, d.down = limiter(cfg.caps.upload), limiter(cfg.caps.download)
	reg := prometheus.NewRegistry()
	d.metrics = newMetrics(reg, d)
	d.loop.init()
	d.swarm, err = swarm.New(swarm.Config{
		Key: d.key, Run: link.Run, UserAgent: "starling/" + Version(), Listen: cfg.listen, Bootstrap: others(link.Bootstrap, d.self),
		MDNS: cfg.MDNS, DHT: cfg.DHT, NATPortMap: cfg.NAT, Relay: cfg.NAT, Topic: gossip.Topic(link.Run, 0),
		Topics:    func(topic string) bool { return gossip.IsTopic(link.Run, topic) },
		PeerEvent: d.peerEvent, Store: peerStore{d.store}, Upload: d.up, Download: d.down, Registry: reg, Logger: d.log, Tap: cfg.tap,
	})
	if err != nil {
		return nil, err
	}
	if d.control, err = listenControl(cfg.Metrics, d.dir); err != nil {
		return nil, err
	}
	return d, nil
}

// others leaves out the node's own addresses, which are in the link of a run that it created.
func others(addrs []string, self gossip.PeerID) []string {
	var out []string
	for _, a := range addrs {
		if filepath.Base(a) != self.String() {
			out = append(out, a)
		}
	}
	return out
}

// limiter allows bursts of a second, and of a chunk at least.
func limiter(perSecond int64) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), int(max(perSecond, 256<<10)))
}

// Run returns the run's ID.
func (d *Daemon) Run() gossip.RunID { return d.link.Run }

// Peer returns the node's ID.
func (d *Daemon) Peer() gossip.PeerID { return d.self }

// Addrs returns the node's full addresses.
func (d *Daemon) Addrs() []string { return d.swarm.Addrs() }

// errLeft ends the daemon's goroutines when the node has left in good order.
var errLeft = errors.New("left the run")

// Serve takes part in the run until ctx ends or the owner says leave; then it saves and says goodbye. It returns when all
// it started has ended: nil, or the first thing that went wrong.
func (d *Daemon) Serve(ctx context.Context) error {
	defer d.close()
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	// The goodbye needs the network, so what carries it outlives ctx by a moment.
	outer, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	g, run := errgroup.WithContext(outer)
	context.AfterFunc(run, func() { close(d.loop.over) })
	g.Go(func() error { return ended(run, d.swarm.Run(run)) })
	g.Go(func() error { return ended(run, d.store.Run(run)) })
	g.Go(func() error { return d.control.serve(run, d) })
	g.Go(func() error { return d.lookout(run, aloneFor) })
	g.Go(func() error {
		if err := d.takePart(ctx, run); err != nil {
			return err
		}
		return errLeft
	})
	if err := g.Wait(); !errors.Is(err, errLeft) {
		return err
	}
	return nil
}

// ended drops the error of a part that stopped because it was told to.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *Daemon) takePart(ctx, run context.Context) error {
	if err := d.learnManifest(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before there was anything to leave
		}
		return err
	}
	if err := d.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	d.log.Info("taking part", "run", d.manifest.Name, "method", methodText(d.manifest.Method), "part", d.shard(), "rows", d.node.Rows(), "from round", d.resumed)
	return d.loop.run(ctx, run, d)
}

// learnManifest reads the run's manifest from the home, or asks peers for it until one has it.
func (d *Daemon) learnManifest(ctx context.Context) error {
	m, err := LoadManifest(d.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.log.Info("asking peers for the manifest")
		check := func(b []byte) error {
			m, err := manifest.Open(b)
			if err != nil {
				return err
			}
			return m.CheckID(d.link.Run)
		}
		b, err := d.swarm.FetchManifest(ctx, check)
		if err != nil {
			return err
		}
		if err := saveManifest(d.dir, b); err != nil {
			return err
		}
		if m, err = LoadManifest(d.dir); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("%w: remove the file to fetch it again from peers", err)
	}
	if err := m.CheckID(d.link.Run); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(d.dir, manifestFile))
	if err != nil {
		return err
	}
	d.manifest, d.cells = m, cellsOf(d.link.Run, m)
	return d.swarm.SetManifest(b)
}

// prepare builds everything that depends on the manifest, and joins the topic.
func (d *Daemon) prepare(ctx context.Context) error {
	m := d.manifest
	if m.Data.NamesFiles() && d.cfg.Data == "" && m.Creator != d.self {
		return fmt.Errorf("this run trains on files (%s): say with --data which of this machine's files to use", m.Data.Source)
	}
	o, err := d.options()
	if err != nil {
		return err
	}
	if d.program, err = compute.New(m, o); err != nil {
		return err
	}
	if d.node, err = d.program.Node(d.nodeSeed(), d.shard()); err != nil {
		return err
	}
	if d.node.Rows() == 0 {
		return fmt.Errorf("part %d of the run's data has no rows: choose another one with --shard", d.shard())
	}
	if err := d.fits(); err != nil {
		return err
	}
	d.estimate()
	d.limits = gossip.DefaultLimits()
	d.store.SetKeep(m.Checkpoint.Keep)
	d.blobs = blob.NewTiered(d.store, tiers(m.Method.Name, int64(d.program.MaxPayload())))
	d.server = blob.NewServer(d.swarm.Host(), d.blobs, blob.ServerOptions{Limiter: d.up, Count: d.metrics.count})
	d.fetcher = blob.NewFetcher(d.swarm.Host(), d.blobs, blob.FetcherOptions{Limiter: d.down, Count: d.metrics.count})
	if err := d.restore(ctx); err != nil {
		return err
	}
	now := d.cells.epoch(time.Now())
	if err := d.swarm.Move(d.cells.topic(d.self, now), d.cells.together(now)); err != nil {
		return err
	}
	return d.swarm.Join(swarm.Handlers{Validate: d.validate, Deliver: d.deliver, Direct: d.direct})
}

// storeOverhead is what a store takes on disk besides checkpoints, about.
const storeOverhead = 24 << 20

// fits refuses a run whose checkpoints would not fit into what the owner gives of the disk: it would stand still after the first ones.
func (d *Daemon) fits() error {
	m := d.manifest
	each := 4 * int64(d.program.Len()+d.program.OptLen())
	if m.Method.Name == "outer" {
		each += 4 * int64(d.program.Len()) // the momentum of the outer steps
	}
	need := storeOverhead + each*int64(m.Checkpoint.Keep+1) // the next one is written before the oldest goes
	if limit := d.cfg.caps.disk; limit > 0 && limit < need {
		return fmt.Errorf("the %d checkpoints that this run keeps, of %d MiB each, take about %d MiB of disk, and this node may use %d: join with --disk %dMiB or more",
			m.Checkpoint.Keep, each>>20, need>>20, limit>>20, need>>20+1)
	}
	return nil
}

// nodeSeed derives the node's own randomness from its key, so that a node is the same one after a restart.
func (d *Daemon) nodeSeed() uint64 { return binary.LittleEndian.Uint64(d.self[:]) }

func (d *Daemon) shard() int {
	if d.cfg.Shard >= 0 {
		return d.cfg.Shard
	}
	h := fnv.New64a()
	h.Write(d.self[:])
	return int(h.Sum64() % uint64(d.manifest.Data.Shards))
}

// restore loads the newest whole checkpoint, or makes the initial model, and builds the core on it.
func (d *Daemon) restore(ctx context.Context) error {
	state, err := d.loadState(ctx)
	if err != nil {
		return err
	}
	seq, err := loadSeq(d.store)
	if err != nil {
		return err
	}
	m := d.manifest
	outer, err := d.program.Outer()
	if err != nil {
		return err
	}
	scalar, err := d.scalar(&state)
	if err != nil {
		return err
	}
	walk, err := d.walk()
	if err != nil {
		return err
	}
	cfg := node.Config{
		Run: d.link.Run, Method: m.Method.Name, Outer: outer, Scalar: scalar, Walk: walk,
		Average: node.AverageConfig{
			Mix: m.Method.Mix, Exchange: m.Method.Exchange, Steps: uint64(m.Method.Steps.Count), Degree: m.Method.Degree,
			Push:      node.PushConfig{Every: node.Instant(m.Method.Wake.Period), Deviation: node.Instant(m.Method.Wake.Deviation)},
			Copies:    d.program.Copies(),
			SaveEvery: uint64(m.Checkpoint.Every), EvaluateEvery: uint64(m.Evaluate.Every),
		},
		Codec: d.program.Codec(), Len: d.program.Len(), OptLen: d.program.OptLen(), Tensors: d.program.Tensors(), MaxPayload: d.program.MaxPayload(), Feedback: d.program.Feedback(),
		Cells: d.cells.count,
		Self:  d.self, Seq: seq, AnnounceEvery: announceEvery, MaxMembers: m.Limits.Peers, Paused: d.cfg.Paused,
		Rand: rand.New(rand.NewPCG(d.nodeSeed(), seq)),
	}
	core, err := node.New(cfg, state)
	if err != nil {
		return err
	}
	d.resumed = core.Status().Round // that of the checkpoint, or what records after it say
	d.core.Store(core)
	return nil
}

// announceEvery keeps small models on fast machines from flooding the run.
const announceEvery = node.Second / 5

func loadSeq(s *storage.Store) (uint64, error) {
	b, err := s.Get(node.SeqKey)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read sequence number: %w", err)
	case len(b) != 8:
		return 0, fmt.Errorf("the sequence number in the store has %d bytes instead of 8", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

func (d *Daemon) close() {
	if d.server != nil {
		if err := d.server.Close(); err != nil {
			d.log.Warn("close blob server", "error", err)
		}
	}
	if d.swarm != nil {
		d.swarm.Close()
	}
	if d.control != nil {
		d.control.listener.Close()
		os.Remove(d.control.path)
	}
	if d.store != nil {
		// On a full disk nothing is lost by not closing, and what could not be saved is told already.
		if err := d.store.Close(); err != nil && !errors.Is(err, storage.ErrDiskFull) {
			d.log.Error("close store", "error", err)
		}
	}
}

func (d *Daemon) threads() int {
	if d.cfg.Threads > 0 {
		return d.cfg.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// peersKey is the record of remembered peers.
const peersKey = "peers"

// peerStore keeps remembered peers as a record.
type peerStore struct{ *storage.Store }

func (s peerStore) SavePeers(b []byte) error {
	return s.Put([]storage.Record{{Key: peersKey, Value: b}})
}

func (s peerStore) LoadPeers() ([]byte, error) {
	b, err := s.Get(peersKey)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return b, err
}
