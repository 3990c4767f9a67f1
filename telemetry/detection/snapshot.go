package detection

import (
	"bufio"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// A snapshot is taken after so many observations and batches; they bound what is
// evaluated again after a restart. One of a large fleet takes as long as some
// observations of each of its machines.
const (
	snapshotEvery  = 50_000
	shotPerMachine = 25
	snapshotBuffer = 256 << 10
)

// snapshotVersion is of the format: gob of a state and of each of its machines one by
// one, then CRC-32C of it all. A file that does not check is ignored: the state is
// then rebuilt from an older one or from the log.
const snapshotVersion = 2

type state struct {
	Version  int
	Log      uuid.UUID
	LSN      intakelog.LSN
	Dedup    []byte
	Ticked   int64    // event time of the last tick, Unix ns
	Cohorts  [][]byte // that wait for the next tick
	Machines int      // that follow
}

type machineState struct {
	Machine Watched
	Score   int
	Rules   []byte
	Silence []byte // empty in a snapshot of a program that did not know of it
	Site    uuid.UUID
	Via     string
}

type snapshots struct {
	dir string
	log uuid.UUID
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func openSnapshots(dir string, log uuid.UUID) (*snapshots, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for snapshots: %w", err)
	}
	s := &snapshots{dir: dir, log: log}
	for _, unfinished := range s.names(".tmp") {
		_ = os.Remove(unfinished) // a run was cut off while it wrote; the next one says what is wrong with the folder
	}
	return s, nil
}

func (s *snapshots) path(lsn intakelog.LSN) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s-%020d.snapshot", s.log, lsn))
}

// names lists the log's snapshots, the newest first.
func (s *snapshots) names(suffix string) []string {
	names, err := filepath.Glob(filepath.Join(s.dir, s.log.String()+"-*.snapshot"+suffix))
	if err != nil {
		return nil
	}
	sort.Sort(sort.Reverse(sort.StringSlice(names)))
	return names
}

// lsn is the last record that a snapshot holds, by its name.
func (s *snapshots) lsn(name string) intakelog.LSN {
	var lsn intakelog.LSN
	_, _ = fmt.Sscanf(filepath.Base(name)[len(s.log.String()):], "-%d.snapshot", &lsn) // 0, as if it held nothing, for what is none of ours
	return lsn
}

// forgetAfter removes the snapshots that hold more than the checkpoint: what they
// found after it is not in the records, as after these were restored from a backup.
func (s *snapshots) forgetAfter(lsn intakelog.LSN) (forgotten int, err error) {
	for _, name := range s.names("") {
		if s.lsn(name) > lsn {
			if err := os.Remove(name); err != nil {
				return forgotten, fmt.Errorf("remove a snapshot that is newer than the records: %w", err)
			}
			forgotten++
		}
	}
	return forgotten, nil
}

// oldest is the last record that every snapshot holds, 0 where there is no second
// one to fall back on.
func (s *snapshots) oldest() intakelog.LSN {
	names := s.names("")
	if len(names) < 2 {
		return 0
	}
	return s.lsn(names[len(names)-1])
}

// readState reads a snapshot and hands its machines to take one by one, after it has
// seen that the file is whole.
func readState(name string, take func(m *machineState) error) (*state, error) {
	f, err := os.Open(name) //nolint:gosec // a name from our own folder
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	content, sum := info.Size()-crc32.Size, make([]byte, crc32.Size)
	hash := crc32.New(castagnoli)
	if _, err = f.ReadAt(sum, max(content, 0)); err == nil {
		_, err = io.Copy(hash, io.NewSectionReader(f, 0, content))
	}
	if err != nil || hash.Sum32() != binary.LittleEndian.Uint32(sum) {
		return nil, errors.Join(fmt.Errorf("snapshot %s is damaged", filepath.Base(name)), err)
	}
	decoder, st := gob.NewDecoder(bufio.NewReaderSize(io.NewSectionReader(f, 0, content), snapshotBuffer)), &state{}
	if err := decoder.Decode(st); err != nil {
		return nil, fmt.Errorf("decode snapshot %s: %w", filepath.Base(name), err)
	}
	if st.Version != snapshotVersion {
		return nil, fmt.Errorf("snapshot %s has version %d, this program reads %d", filepath.Base(name), st.Version, snapshotVersion)
	}
	for range st.Machines {
		var m machineState
		err := decoder.Decode(&m)
		if err == nil {
			err = take(&m)
		}
		if err != nil {
			return nil, fmt.Errorf("decode snapshot %s: %w", filepath.Base(name), err)
		}
	}
	return st, nil
}

// write puts a state in place, with the machines that each gives one by one.
func (s *snapshots) write(st *state, each iter.Seq[*machineState]) error {
	name := s.path(st.LSN)
	if err := writeSynced(name+".tmp", st, each); err != nil {
		_ = os.Remove(name + ".tmp") // its disk may be full
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("put snapshot in place: %w", err)
	}
	if err := syncFolder(s.dir); err != nil { // before the log lets go of what it stands for
		return err
	}
	for i, old := range s.names("") {
		if i >= 2 { // the newest and one to fall back on
			if err := os.Remove(old); err != nil {
				return fmt.Errorf("remove old snapshot: %w", err)
			}
		}
	}
	return nil
}

func writeSynced(name string, st *state, each iter.Seq[*machineState]) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // a name of our own
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	hash := crc32.New(castagnoli)
	buffer := bufio.NewWriterSize(io.MultiWriter(f, hash), snapshotBuffer)
	encoder := gob.NewEncoder(buffer)
	err = encoder.Encode(st)
	for m := range each {
		if err != nil {
			break
		}
		err = encoder.Encode(m)
	}
	if err = errors.Join(err, buffer.Flush()); err == nil {
		_, err = f.Write(binary.LittleEndian.AppendUint32(nil, hash.Sum32()))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // our own folder
	if err != nil {
		return fmt.Errorf("open the folder of snapshots: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync the folder of snapshots: %w", err)
	}
	return nil
}

// snapshot saves the state and tells the log what no snapshot needs any more. One
// that cannot be written is no reason to stop: the log keeps what it stands for.
func (r *Runner) snapshot() {
	r.sinceShot = 0
	if len(r.carried) > 0 {
		return // they are in no snapshot: the one before finds them again
	}
	if err := r.keep(); err != nil {
		r.log.Error("the state of the rules is not saved, trying again later", "error", err)
		return
	}
	r.released(r.shots.oldest())
}

// keep writes the state to the disk; pages may read it meanwhile.
func (r *Runner) keep() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	st := &state{Version: snapshotVersion, Log: r.pos.Log, LSN: r.lsn, Dedup: r.dedup.Snapshot(nil), Ticked: r.ticked, Cohorts: r.sisters.waiting(), Machines: len(r.watched)}
	var m machineState
	return r.shots.write(st, func(yield func(*machineState) bool) {
		for _, key := range slices.Sorted(maps.Keys(r.watched)) {
			w := r.watched[key]
			m = machineState{Machine: w.Watched, Score: w.score, Rules: w.rules.Snapshot(m.Rules[:0]), Silence: w.silence.Snapshot(m.Silence[:0]), Site: w.near.Site, Via: w.near.Via}
			if !yield(&m) {
				return
			}
		}
	})
}

// restore takes the newest snapshot that is whole and fits; without one the state
// is that of a runner that has seen nothing.
func (r *Runner) restore() error {
	forgotten, err := r.shots.forgetAfter(r.pos.LSN)
	if err != nil {
		return err
	}
	if forgotten > 0 {
		r.log.Error("snapshots were newer than the records and are not used", "count", forgotten, "checkpoint", r.pos.LSN)
	}
	for _, name := range r.shots.names("") {
		err := r.adopt(name)
		if err == nil {
			return nil
		}
		r.log.Error("a snapshot of the rules is not used; an older state catches up from the intake log", "error", err)
	}
	return nil
}

// adopt makes a snapshot's state the runner's, all of it or nothing.
func (r *Runner) adopt(name string) error {
	dedup, machines, near := telemetry.NewDedup(), map[string]*watched{}, crowd{}
	st, err := readState(name, func(m *machineState) error {
		pack := r.fleet.Pack(m.Machine)
		w := &watched{Watched: m.Machine, pack: pack, rules: rules.New(m.Machine.Key, pack), score: m.Score}
		if err := w.rules.Restore(pack, m.Rules); err != nil {
			return fmt.Errorf("restore the rules of %s: %w", m.Machine.Key, err)
		}
		if len(m.Silence) > 0 {
			if err := w.silence.Restore(m.Silence); err != nil {
				return fmt.Errorf("restore when %s was heard: %w", m.Machine.Key, err)
			}
		}
		if newest := w.rules.Newest(); w.silence.Last() == 0 && !newest.IsZero() {
			w.silence.Resume(newest.UnixNano())
		}
		near.move(w, telemetry.Near{Site: m.Site, Via: m.Via})
		machines[m.Machine.Key] = w
		return nil
	})
	if err != nil {
		return err
	}
	if err := dedup.Restore(st.Dedup); err != nil {
		return fmt.Errorf("restore duplicates: %w", err)
	}
	r.dedup, r.watched, r.crowd, r.ticked, r.lsn = dedup, machines, near, st.Ticked, st.LSN
	r.at.Store(uint64(r.lsn))
	r.sisters.resume(st.Cohorts)
	return nil
}
