package intakelog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

var errCrashed = errors.New("the machine has lost power")

// disk is a folder in memory that knows what would survive a loss of power: what
// was synced, a random beginning of what was not, and of the changes to the
// folder a random beginning of those that SyncDir has not settled.
type disk struct {
	mu      sync.Mutex
	random  *rand.Rand
	names   map[string]*inode
	settled map[string]*inode
	changes []map[string]*inode // the folder after each unsettled change
	ops     int
	crashAt int                     // the operation at which the power goes; 0 = never
	syncs   int                     // syncs of files so far
	refuse  func(sync int) error    // what a sync answers; its data is then lost for good
	write   func(total int64) error // what a write answers
	writes  int                     // so far
	refuseW func(write int) error   // what a write answers, by its number
	written int64
	bad     func(name string, offset, size int) error // what a read answers
	closed  string                                    // a file that cannot be opened
	room    int64                                     // of the disk; 0 = endless
}

// used is how much of the disk is taken.
func (d *disk) used() (n int64) {
	for _, node := range d.names {
		n += int64(max(len(node.data), node.allocated))
	}
	return n
}

// Free makes the disk as small as the test says.
func (d *disk) Free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room == 0 {
		return 1 << 30, nil
	}
	return max(d.room-d.used(), 0), nil
}

type inode struct {
	data   []byte
	stable []byte
	lost   int // bytes before this can no longer be made stable

	allocated int
}

func newDisk(seed uint64) *disk {
	return &disk{random: rand.New(rand.NewPCG(seed, 1)), names: map[string]*inode{}, settled: map[string]*inode{}}
}

// op counts one operation; an error means that the power has gone.
func (d *disk) op() error {
	d.ops++
	if d.crashAt > 0 && d.ops >= d.crashAt {
		return errCrashed
	}
	return nil
}

func (d *disk) changed() { d.changes = append(d.changes, maps.Clone(d.names)) }

func (d *disk) Open(name string, create bool) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node := d.names[name]
	if name == d.closed && name != "" {
		return nil, syscall.EIO
	}
	if node == nil {
		if !create {
			return nil, fs.ErrNotExist
		}
		if err := d.op(); err != nil {
			return nil, err
		}
		node = &inode{}
		d.names[name] = node
		d.changed()
	}
	return &handle{d, node, name}, nil
}

func (d *disk) List() ([]Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Entry
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		list = append(list, Entry{name, int64(len(d.names[name].data))})
	}
	return list, nil
}

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	if d.names[from] == nil {
		return fs.ErrNotExist
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	d.changed()
	return nil
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	if err := d.op(); err != nil {
		return err
	}
	delete(d.names, name)
	d.changed()
	return nil
}

func (d *disk) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op(); err != nil {
		return err
	}
	d.settled, d.changes = maps.Clone(d.names), nil
	return nil
}

// kill returns the disk as the next process finds it when only this one has died:
// everything is there, and what was not synced is still in danger.
func (d *disk) kill(seed uint64) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newDisk(seed)
	after.names, after.settled, after.changes = d.names, d.settled, d.changes
	return after
}

// crash returns the disk as it is found after the power has come back.
func (d *disk) crash(seed uint64) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newDisk(seed)
	names := d.settled
	if n := after.random.IntN(len(d.changes) + 1); n > 0 {
		names = d.changes[n-1]
	}
	for name, node := range names {
		content := node.survivor(after.random)
		after.names[name] = &inode{data: content, stable: bytes.Clone(content)}
	}
	after.settled = maps.Clone(after.names)
	return after
}

func (n *inode) survivor(random *rand.Rand) []byte {
	more := len(n.data) - len(n.stable)
	if more <= 0 || n.lost > len(n.stable) || random.IntN(3) == 0 {
		return bytes.Clone(n.stable)
	}
	content := bytes.Clone(n.data[:len(n.stable)+random.IntN(more+1)])
	fresh := content[len(n.stable):]
	from := random.IntN(len(fresh) + 1)
	switch random.IntN(4) {
	case 0: // the length was written, the bytes were not all
		clear(fresh[from:])
	case 1: // what came later was written, what came before was not
		clear(fresh[from : from+random.IntN(len(fresh)-from+1)])
	}
	return content
}

// sizeOf is 0 where there is no such file.
func (d *disk) sizeOf(name string) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if node := d.names[name]; node != nil {
		return int64(len(node.data))
	}
	return 0
}

// clone copies a disk that nobody writes to, so that it can be damaged.
func (d *disk) clone() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newDisk(0)
	for name, node := range d.names {
		c.names[name] = &inode{data: bytes.Clone(node.data), stable: bytes.Clone(node.data)}
	}
	c.settled = maps.Clone(c.names)
	return c
}

type handle struct {
	d    *disk
	node *inode
	name string
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.bad != nil {
		if err := h.d.bad(h.name, int(off), len(p)); err != nil {
			return 0, err
		}
	}
	if off >= int64(len(h.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Write(p []byte) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.op(); err != nil {
		n := h.d.random.IntN(len(p) + 1)
		if h.d.ops > h.d.crashAt {
			n = 0
		}
		h.node.data = append(h.node.data, p[:n]...)
		return n, err
	}
	if err := h.full(len(p)); err != nil {
		return 0, err
	}
	h.d.writes++
	if h.d.refuseW != nil {
		if err := h.d.refuseW(h.d.writes); err != nil {
			n := h.d.random.IntN(len(p) + 1)
			h.node.data = append(h.node.data, p[:n]...)
			return n, err
		}
	}
	if h.d.write != nil {
		if err := h.d.write(h.d.written + int64(len(p))); err != nil {
			n := h.d.random.IntN(len(p) + 1)
			h.node.data = append(h.node.data, p[:n]...)
			return n, err
		}
	}
	h.d.written += int64(len(p))
	h.node.data = append(h.node.data, p...)
	return len(p), nil
}

// full says whether a file cannot grow by some bytes.
func (h *handle) full(more int) error {
	grow := len(h.node.data) + more - max(len(h.node.data), h.node.allocated)
	if h.d.room > 0 && h.d.used()+int64(grow) > h.d.room {
		return syscall.ENOSPC
	}
	return nil
}

func (h *handle) Allocate(offset, size int64, keep bool) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.op(); err != nil {
		return err
	}
	end := int(offset + size)
	if err := h.full(end - len(h.node.data)); err != nil {
		return err
	}
	h.node.allocated = max(h.node.allocated, end)
	if grow := end - len(h.node.data); !keep && grow > 0 {
		h.node.data = append(h.node.data, make([]byte, grow)...)
	}
	return nil
}

func (h *handle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.op(); err != nil {
		return err
	}
	h.d.syncs++
	if h.d.refuse != nil {
		if err := h.d.refuse(h.d.syncs); err != nil {
			h.node.lost = len(h.node.data) // the system now thinks that these bytes are clean
			return err
		}
	}
	if h.node.lost <= len(h.node.stable) {
		h.node.stable = bytes.Clone(h.node.data)
	}
	return nil
}

func (h *handle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.op(); err != nil {
		return err
	}
	if size > int64(len(h.node.data)) {
		return syscall.EINVAL
	}
	h.node.data, h.node.allocated = h.node.data[:size:size], 0
	h.node.lost = min(h.node.lost, len(h.node.data)) // what is written now is new to the system
	return nil
}

func (h *handle) Close() error { return nil }

var (
	_ FS   = (*disk)(nil)
	_      = allocator((*handle)(nil))
	_ File = (*handle)(nil)
)
