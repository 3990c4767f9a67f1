// Package intakelog is the append-only log between the wire and everything
// else: a message is acknowledged when its bytes are durable here, and is
// decoded later, from here. The log knows bytes, positions and its disk; it
// must not know what a message means.
//
// A log is a folder of segments. Each frame carries its position and a CRC that
// is seeded with the log's id, so that no payload can pass for a frame. What is
// damaged is copied to corrupt/, listed by Damage, and skipped; the log always
// starts.
package intakelog

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
)

// LSN is a position in the log: 1, 2, 3 and so on, with no holes except those
// that Damage lists. 0 is before the first record.
type LSN uint64

// Kind says what a record is.
type Kind uint8

// The kinds of records; the numbers are stored.
const (
	Message Kind = 1 // as it came from a device, a broker or a client of the API
	Tick    Kind = 2 // the program clock has passed a point of event time
	Cohort  Kind = 3 // statistics over sister machines, so that a replay need not recompute them
	Relay   Kind = 4 // meant for devices, not said by one: passed on between clients, and none of the intake's
	Session Kind = 5 // a source is listened to anew: what it said before may be missing
	Derived Kind = 6 // what the program worked out of messages, in the product's own profile
	Mapping Kind = 7 // what names of signals mean has changed for the records after this one
	Link    Kind = 8 // the connection of a device has ended, as the broker saw it
)

// Record is one entry of the log. Payload shares memory with the other records
// of the same read: whoever keeps it for long must copy it.
type Record struct {
	LSN      LSN
	Received time.Time // program clock, UTC
	Wall     time.Time // wall clock, for retention and latency; zero = stamped by Append
	Kind     Kind
	Source   string // "embedded", "external", "http", "replay", "clock"
	Device   string // authenticated device key or client id
	Topic    string
	Dup      bool // the sender said that it sends this again
	Retained bool // a broker kept it: when it was sent, nobody knows
	Will     bool // the broker said it for a client whose connection broke
	Payload  []byte
}

// What Append can answer; all of them mean that the record is not in the log.
var (
	ErrFull     = errors.New("the intake log is full")
	ErrClosed   = errors.New("the intake log is closed")
	ErrFailed   = errors.New("the intake log cannot write to its disk")
	ErrBusy     = errors.New("the intake log's disk is too slow")
	ErrTooLarge = errors.New("the record is too large for the intake log")
	ErrInUse    = errors.New("the intake log is in use by another process")
)

// Options of a log; the zero value is good for production.
type Options struct {
	SegmentBytes int64         // a new segment is begun beyond this; 0 = 64 MiB
	MaxBytes     int64         // Append refuses beyond this, nothing is dropped; 0 = 8 GiB or a fifth of the free disk, whichever is less
	CommitDelay  time.Duration // how long a commit waits for company, at most 2 ms; 0 = 1 ms, negative = not at all
	CommitBytes  int           // a commit of this size does not wait; 0 = 1 MiB
	Retain       time.Duration // consumed segments stay at least this long on the wall clock, within a quarter of MaxBytes
	ReserveBytes int64         // kept free on the disk, so that cursors can be saved and segments deleted when it is full; 0 = 64 MiB or a 64th of the free disk, whichever is less; negative = none
	Plain        bool          // sealed segments are not compressed
	PackAfter    time.Duration // sealed segments are compressed when they are as old as this, or the log is half full; 0 = 1 min, negative = at once
	Consumers    []string      // who must have passed a record before it is deleted; nil = "history" and "rules"
	FS           FS            // nil = the folder itself; tests inject faults here
	Wall         func() time.Time
	Log          *slog.Logger
}

const (
	defaultSegmentBytes = 64 << 20
	defaultMaxBytes     = 8 << 30
	defaultPackAfter    = time.Minute // longer than consumers that keep up need it
	minSegmentBytes     = 4 << 10
	maxCommitDelay      = 2 * time.Millisecond
	pendingBytes        = 8 << 20         // what may wait for the disk
	pendingWait         = 2 * time.Second // how long Append waits for room among it
	retryEvery          = time.Second     // how often a failed log tries a new segment
)

func (o Options) withDefaults() Options {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	switch {
	case o.CommitDelay == 0:
		o.CommitDelay = time.Millisecond
	case o.CommitDelay < 0:
		o.CommitDelay = 0
	}
	o.CommitDelay = min(o.CommitDelay, maxCommitDelay)
	if o.CommitBytes <= 0 {
		o.CommitBytes = 1 << 20
	}
	if o.PackAfter == 0 {
		o.PackAfter = defaultPackAfter
	}
	if o.Consumers == nil {
		o.Consumers = []string{"history", "rules"}
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Log is one log, owned by one process. It is safe for concurrent use.
type Log struct {
	dir     string
	options Options
	fs      *spared
	lock    *os.File
	id      uuid.UUID
	seed    uint32 // of every frame's CRC

	stop    context.CancelFunc
	running sync.WaitGroup
	work    chan struct{} // capacity 1: something is pending
	tidy    chan struct{} // capacity 1: something may be deleted
	sealed  chan struct{} // capacity 1: something may be packed
	unzip   *zstd.Decoder
	filing  sync.Mutex // held while a segment's file is deleted or replaced
	reserve reserve

	// Of the committer alone, once the log is open.
	writer  *segment // what is written to; nil = begin a segment first
	tip     LSN      // the record that writer can take next
	begun   LSN      // first of the segment that was begun last
	attempt int      // and how often

	mu        sync.Mutex
	segments  []*segment // oldest first
	opened    []*segment // those whose files readers have opened, the longest open first
	bytes     int64      // of all segments
	inflight  int64      // bytes of the batch that is being written
	next      LSN        // given to the next record
	durable   LSN        // the last record that is safe
	pending   batch
	spare     batch         // the committer's other buffer
	grown     chan struct{} // closed when durable grows
	drained   chan struct{} // closed when pending has room again
	failure   error         // why Append refuses
	full      bool          // refusing until there is some room again
	closed    bool
	cursors   map[LSN]*cursor
	consumers map[string]LSN
	known     map[string]bool // consumers that have spoken since Open
	unsaved   bool            // consumers have moved
	saved     LSN             // durable, as it was saved last
	settled   bool            // closed, and nothing will come
	pausedAt  time.Time       // since when nothing is acknowledged; zero = it is
	paused    time.Duration   // before that
	damage    []Damage
	copied    int64 // bytes of segments in corrupt/
	counts    Stats

	quarantined int64 // bytes of whole segments there
}

// Open opens the log in dir, creating it where there is none, and mends what
// the last run left unfinished. Only one process can have a log open.
func Open(dir string, o Options) (*Log, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(filepath.Join(dir, corruptDir), 0o750); err != nil {
		return nil, fmt.Errorf("open intake log: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	if o.FS == nil {
		o.FS = DirFS(dir)
	}
	unzip, err := newUnzip()
	if err != nil {
		unlockFolder(lock)
		return nil, err
	}
	l := &Log{
		dir: dir, options: o, fs: &spared{FS: o.FS, dir: dir}, lock: lock, unzip: unzip,
		work: make(chan struct{}, 1), tidy: make(chan struct{}, 1), sealed: make(chan struct{}, 1),
		grown: make(chan struct{}), drained: make(chan struct{}),
		cursors: map[LSN]*cursor{}, consumers: map[string]LSN{}, known: map[string]bool{},
	}
	l.fs.refill()
	if err := l.restore(); err != nil {
		l.closeFiles()
		return nil, fmt.Errorf("open intake log %s: %w", dir, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.running.Go(func() { l.commitLoop(ctx) })
	l.running.Go(func() { l.housekeep(ctx) })
	if !o.Plain {
		l.running.Go(func() { l.packLoop(ctx) })
	}
	return l, nil
}

// ID is the log's identity, made when the log was; every cursor that is stored
// elsewhere belongs to one id.
func (l *Log) ID() uuid.UUID { return l.id }

// Bounds returns the oldest record that is still here and the last durable one;
// of an empty log, last is first - 1.
func (l *Log) Bounds() (first, last LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[0].first, l.durable
}

// Err returns why Append refuses, or nil while the log takes records.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refuses(0)
}

// Close makes durable what was appended, calls what waits for it and gives the
// folder back.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.grown) // readers wake and find the log closed
	close(l.drained)
	l.mu.Unlock()
	l.stop()
	l.running.Wait()
	l.mu.Lock()
	l.settled = true
	l.mu.Unlock()
	err := l.saveConsumers()
	l.closeFiles()
	if err != nil {
		return fmt.Errorf("close intake log: %w", err)
	}
	return nil
}

func (l *Log) closeFiles() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.writer; w != nil && !slices.Contains(l.segments, w) {
		l.drop(w)
	}
	for _, s := range l.segments {
		l.drop(s)
	}
	l.fs.release() // unzip stays: it holds nothing but memory, and a reader may be at it
	unlockFolder(l.lock)
}

// wake closes a channel that somebody may wait for and puts a new one in its
// place; Close has closed both for good.
func (l *Log) wake(c *chan struct{}) {
	if !l.closed {
		close(*c)
		*c = make(chan struct{})
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func seedOf(id uuid.UUID) uint32 { return crc32.Checksum(id[:], castagnoli) }
