package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"testing"
	"time"
)

// disk is a FileSystem that remembers what a power cut could leave of it: of a
// file that was not synced nothing, a part or all; of names those at the last
// sync of their directory, with any of the changes since.
type disk struct {
	Memory
	operations int // left until the power is cut; negative: never
	// What is certainly on the disk, and what may be.
	durable map[string]map[string]*inode // directory, name
	pending []change                     // of names, in order
	present map[string]*inode            // names as the running system sees them
}

// inode is a file with what could be on the disk of it.
type inode struct {
	directory bool
	versions  [][]byte // the last one is what was written
}

// change is what happened to names in a directory: nil removes.
type change struct {
	directory string
	names     map[string]*inode
}

var errPower = errors.New("the power is cut")

func newDisk() *disk {
	return &disk{Memory: *NewMemory(), operations: -1,
		durable: map[string]map[string]*inode{".": {}}, present: make(map[string]*inode)}
}

// step counts an operation of which a power cut may be the end.
func (d *disk) step() error {
	if d.operations == 0 {
		return errPower
	}
	d.operations--
	return nil
}

func (d *disk) change(directory string, names map[string]*inode) {
	d.pending = append(d.pending, change{directory, names})
	for name, node := range names {
		full := path.Join(directory, name)
		if node == nil {
			delete(d.present, full)
		} else {
			d.present[full] = node
		}
	}
}

func (d *disk) MakeDirectory(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := d.Memory.MakeDirectory(name); err != nil {
		return err
	}
	d.change(path.Dir(name), map[string]*inode{path.Base(name): {directory: true}})
	d.durable[name] = make(map[string]*inode)
	return nil
}

// WriteFile has four ends that the power can put to it.
func (d *disk) WriteFile(name string, parts ...[]byte) error {
	data := slices.Concat(parts...)
	if err := d.step(); err != nil {
		return err
	}
	if err := d.Memory.WriteFile(name, nil); err != nil {
		return err
	}
	node := d.present[name]
	if node == nil {
		node = &inode{versions: [][]byte{nil}}
		d.change(path.Dir(name), map[string]*inode{path.Base(name): node})
	} else {
		node.versions = append(node.versions, nil)
	}
	for _, written := range [][]byte{data[:len(data)/2], data} {
		if err := d.step(); err != nil {
			return err
		}
		node.versions = append(node.versions, written)
	}
	if err := d.step(); err != nil {
		return err
	}
	node.versions = [][]byte{data}
	return d.Memory.WriteFile(name, data)
}

func (d *disk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := d.Memory.Rename(from, to); err != nil {
		return err
	}
	d.change(path.Dir(from), map[string]*inode{path.Base(from): nil, path.Base(to): d.present[from]})
	return nil
}

func (d *disk) Remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := d.Memory.Remove(name); err != nil {
		return err
	}
	d.change(path.Dir(name), map[string]*inode{path.Base(name): nil})
	return nil
}

func (d *disk) SyncDirectory(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.pending = slices.DeleteFunc(d.pending, func(c change) bool {
		if c.directory == name {
			apply(d.durable[name], c.names)
		}
		return c.directory == name
	})
	return nil
}

func apply(to, names map[string]*inode) {
	for name, node := range names {
		if node == nil {
			delete(to, name)
		} else {
			to[name] = node
		}
	}
}

// remains calls visit with every disk that could be found after a power cut.
func (d *disk) remains(t *testing.T, visit func(found *disk)) {
	t.Helper()
	if len(d.pending) > 6 {
		t.Fatalf("%d changes were not synced: too many to try them all", len(d.pending))
	}
	for kept := range 1 << len(d.pending) {
		directories := make(map[string]map[string]*inode)
		for name, entries := range d.durable {
			directories[name] = maps.Clone(entries)
		}
		for i, c := range d.pending {
			if kept&(1<<i) != 0 {
				apply(directories[c.directory], c.names)
			}
		}
		d.contents(directories, visit)
	}
}

// contents tries what could be in files that were not synced: the same
// version, counted from the end, of all of them, since there is never more
// than one.
func (d *disk) contents(directories map[string]map[string]*inode, visit func(found *disk)) {
	versions := 1
	for _, entries := range directories {
		for _, node := range entries {
			versions = max(versions, len(node.versions))
		}
	}
	for back := range versions {
		found := newDisk()
		found.copy(".", directories, back)
		visit(found)
	}
}

func (d *disk) copy(directory string, from map[string]map[string]*inode, back int) {
	for name, node := range from[directory] {
		full := path.Join(directory, name)
		if node.directory {
			d.directories[full] = true
			d.durable[full] = make(map[string]*inode)
			d.durable[directory][name], d.present[full] = node, node
			d.copy(full, from, back)
			continue
		}
		data := node.versions[max(0, len(node.versions)-1-back)]
		same := &inode{versions: [][]byte{data}}
		d.files[full] = data
		d.durable[directory][name], d.present[full] = same, same
	}
}

// found is what a machine sees after it booted.
func found(t *testing.T, d *disk) string {
	t.Helper()
	boot, err := d.ReadFile(BootFile) // before anything is mended: init/bootconfig reads it first
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	s, err := Open(d, time.Time{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if problems := s.Problems(); len(problems) > 0 {
		t.Errorf("found damage: %v", problems)
	}
	_, saved, err := s.Saved()
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if string(saved) != string(boot) {
		t.Errorf("the machine booted with %q and takes %q for saved", boot, saved)
	}
	key, err := s.HostKey()
	if err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	state := fmt.Sprintf("boots %q, host key %q, revisions", boot, key)
	for _, r := range s.Revisions() {
		_, configuration, err := s.Read(r.Number)
		if err != nil {
			t.Fatal(err)
		}
		state += fmt.Sprintf(" %d %q %s,", r.Number, configuration, r.Comment)
	}
	return state
}

// TestPowerCut cuts the power at every operation of a history of commits,
// tries everything that could be left on the disk, and cuts it again at every
// operation of the recovery. What is found is always the state before the
// interrupted step or the one after it.
func TestPowerCut(t *testing.T) {
	history := []func(s *Store) error{
		func(s *Store) error { return s.SetHostKey([]byte("key 1")) },
		saving("first", "A"),
		saving("second", "B"),
		saving("back to the first", "A"),
		saving("the same again", "A"),
		func(s *Store) error { return s.SetHostKey([]byte("key 2")) },
		saving("third", "C"),
	}
	cuts, disks := 0, 0
	for done := range history {
		for operation := 0; ; operation++ {
			d := newDisk()
			s, err := Open(d, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range history[:done] {
				if err := step(s); err != nil {
					t.Fatal(err)
				}
			}
			before := found(t, only(t, d))
			d.operations = operation
			err = history[done](s)
			if err == nil {
				break // the step came to its end
			}
			if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			cuts++
			after := afterStep(t, history[:done+1])
			d.remains(t, func(left *disk) {
				disks++
				state := interrupted(t, left)
				if state != before && state != after {
					t.Errorf("step %d cut at operation %d: found\n%s\nwant\n%s\nor\n%s", done, operation, state, before, after)
				}
			})
		}
	}
	t.Logf("%d power cuts left %d different disks", cuts, disks)
	if cuts < 50 || disks < 100 {
		t.Errorf("%d power cuts and %d disks: too few to mean anything", cuts, disks)
	}
}

func saving(comment, configuration string) func(*Store) error {
	return func(s *Store) error {
		_, err := s.Save(Revision{Comment: comment}, []byte(configuration))
		return err
	}
}

// only gives the disk when nothing is left to chance.
func only(t *testing.T, d *disk) *disk {
	t.Helper()
	var disks []*disk
	d.remains(t, func(left *disk) { disks = append(disks, left) })
	if len(disks) != 1 {
		t.Fatalf("a step that came to its end leaves %d different disks", len(disks))
	}
	return disks[0]
}

func afterStep(t *testing.T, history []func(*Store) error) string {
	t.Helper()
	d := newDisk()
	s, err := Open(d, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range history {
		if err := step(s); err != nil {
			t.Fatal(err)
		}
	}
	return found(t, d)
}

// interrupted cuts the power again while the store is opened, at every
// operation, and wants the same state whenever it is opened at last.
func interrupted(t *testing.T, left *disk) string {
	t.Helper()
	state := ""
	for operation := 0; ; operation++ {
		d := only(t, left)
		d.operations = operation
		_, err := Open(d, time.Time{})
		if err != nil && !errors.Is(err, errPower) {
			t.Fatal(err)
		}
		d.operations = -1
		d.remains(t, func(again *disk) {
			found := found(t, again)
			if state == "" {
				state = found
			}
			if found != state {
				t.Errorf("a power cut at operation %d of the recovery: found\n%s\nwant\n%s", operation, found, state)
			}
		})
		if err == nil {
			return state
		}
	}
}
