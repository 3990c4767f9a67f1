package detection

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// snapshotEvery is after how many observations and batches a snapshot is taken;
// it bounds what is evaluated again after a restart.
const snapshotEvery = 50_000

// snapshot format: gob of state, then CRC-32C of it. A file that does not check
// is ignored: the state is then rebuilt from an older one or from the log.
type state struct {
	Version  int
	Log      uuid.UUID
	LSN      intakelog.LSN
	Dedup    []byte
	Machines []machineState
}

type machineState struct {
	Machine Watched
	Score   int
	Rules   []byte
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
	return &snapshots{dir: dir, log: log}, nil
}

func (s *snapshots) path(lsn intakelog.LSN) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s-%020d.snapshot", s.log, lsn))
}

func (s *snapshots) names() []string {
	names, err := filepath.Glob(filepath.Join(s.dir, s.log.String()+"-*.snapshot"))
	if err != nil {
		return nil
	}
	sort.Sort(sort.Reverse(sort.StringSlice(names)))
	return names
}

// newest returns the newest snapshot that checks; nil when there is none.
func (s *snapshots) newest() (*state, error) {
	var faults []error
	for _, name := range s.names() {
		st, err := readState(name)
		if err == nil {
			return st, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

func readState(name string) (*state, error) {
	b, err := os.ReadFile(name) //nolint:gosec // a name from our own folder
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if len(b) < 4 || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, fmt.Errorf("snapshot %s is damaged", filepath.Base(name))
	}
	st := &state{}
	if err := gob.NewDecoder(bytes.NewReader(b[:len(b)-4])).Decode(st); err != nil {
		return nil, fmt.Errorf("decode snapshot %s: %w", filepath.Base(name), err)
	}
	if st.Version != 1 {
		return nil, fmt.Errorf("snapshot %s has version %d, this program reads 1", filepath.Base(name), st.Version)
	}
	return st, nil
}

func (s *snapshots) write(st *state) error {
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(st); err != nil {
		return fmt.Errorf("encode snapshot: %w", err)
	}
	sum := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(buf.Bytes(), castagnoli))
	buf.Write(sum)
	name := s.path(st.LSN)
	if err := writeSynced(name+".tmp", buf.Bytes()); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("put snapshot in place: %w", err)
	}
	for i, old := range s.names() {
		if i >= 2 { // the newest and one to fall back on
			if err := os.Remove(old); err != nil {
				return fmt.Errorf("remove old snapshot: %w", err)
			}
		}
	}
	return nil
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // a name of our own
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// snapshot saves the state and tells the log what is no longer needed.
func (r *Runner) snapshot() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := &state{Version: 1, Log: r.pos.Log, LSN: r.lsn, Dedup: r.dedup.Snapshot(nil)}
	for _, w := range r.watched {
		st.Machines = append(st.Machines, machineState{Machine: w.Watched, Score: w.score, Rules: w.rules.Snapshot(nil)})
	}
	sort.Slice(st.Machines, func(i, j int) bool { return st.Machines[i].Machine.Key < st.Machines[j].Machine.Key })
	if err := r.shots.write(st); err != nil {
		return err
	}
	r.sinceShot = 0
	r.released(st.LSN)
	return nil
}

func (r *Runner) restore() error {
	st, err := r.shots.newest()
	if st == nil {
		return err
	}
	if err := r.dedup.Restore(st.Dedup); err != nil {
		return fmt.Errorf("restore duplicates: %w", err)
	}
	for _, m := range st.Machines {
		pack := r.fleet.Pack(m.Machine)
		w := &watched{Watched: m.Machine, pack: pack, rules: rules.New(m.Machine.Key, pack), score: m.Score}
		if err := w.rules.Restore(pack, m.Rules); err != nil {
			return fmt.Errorf("restore the rules of %s: %w", m.Machine.Key, err)
		}
		r.watched[m.Machine.Key] = w
	}
	r.lsn = st.LSN
	return nil
}
