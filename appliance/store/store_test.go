package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func opened(t *testing.T, files FileSystem) *Store {
	t.Helper()
	s, err := Open(files, noon)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func save(t *testing.T, s *Store, comment, configuration string) Revision {
	t.Helper()
	r, err := s.Save(Revision{Time: noon, User: "admin", Fingerprint: "SHA256:abc", Comment: comment, Via: "commit"}, []byte(configuration))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// directory is a FileSystem of real files.
func directory(t *testing.T, name string) *Directory {
	t.Helper()
	d, err := OpenDirectory(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func wantSaved(t *testing.T, s *Store, number int, configuration string) {
	t.Helper()
	r, saved, err := s.Saved()
	if err != nil || r.Number != number || string(saved) != configuration {
		t.Errorf("saved is revision %d %q (%v), want %d %q", r.Number, saved, err, number, configuration)
	}
}

// TestOnRealFiles shows what is on a volume, to the byte.
func TestOnRealFiles(t *testing.T) {
	volume := t.TempDir()
	s := opened(t, directory(t, volume))
	save(t, s, "the first", "role: director\n")
	save(t, s, "", "role: real-server\n")
	if err := s.SetHostKey([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"config/dipper.yaml":             "role: real-server\n",
		"config/revisions/00000001.yaml": `# dipper: {"revision":1,"time":"2026-05-04T12:00:00Z","user":"admin","fingerprint":"SHA256:abc","comment":"the first","via":"commit","crc32c":"` + sum([]byte("role: director\n")) + "\"}\nrole: director\n",
		"ssh/host_key":                   "secret",
	} {
		got, err := os.ReadFile(filepath.Join(volume, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
		if info, err := os.Stat(filepath.Join(volume, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v (%v), want mode 0600", name, info.Mode(), err)
		}
	}
	again := opened(t, directory(t, volume))
	wantSaved(t, again, 2, "role: real-server\n")
	if diff := cmp.Diff(s.Revisions(), again.Revisions()); diff != "" {
		t.Errorf("revisions (-written +read):\n%s", diff)
	}
	if key, err := again.HostKey(); err != nil || string(key) != "secret" {
		t.Errorf("the host key is %q (%v)", key, err)
	}
}

func TestFiftyAreKept(t *testing.T) {
	volume := t.TempDir()
	s := opened(t, directory(t, volume))
	for i := range 60 {
		save(t, s, "", fmt.Sprintf("hostname: lb%d\n", i+1))
	}
	data, err := os.ReadFile(filepath.Join(volume, revisionFile(60)))
	if err != nil {
		t.Fatal(err)
	}
	// A power cut came before the removal of the tenth was on the disk.
	write(t, volume, revisionFile(10), strings.Replace(string(data), `"revision":60`, `"revision":10`, 1))
	list := opened(t, directory(t, volume)).Revisions()
	if len(list) != Kept || list[0].Number != 60 || list[Kept-1].Number != 11 {
		t.Errorf("%d revisions are kept, from %d to %d", len(list), list[len(list)-1].Number, list[0].Number)
	}
	if _, _, err := s.Read(10); !errors.Is(err, ErrNotFound) {
		t.Errorf("revision 10: %v, want ErrNotFound", err)
	}
	if r, configuration, err := s.Read(11); err != nil || string(configuration) != "hostname: lb11\n" || r.Number != 11 {
		t.Errorf("revision 11: %v %q %v", r, configuration, err)
	}
}

func TestInMemory(t *testing.T) {
	s := InMemory()
	if s.Persistent() {
		t.Error("memory says that it is persistent")
	}
	if _, _, err := s.Saved(); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing was saved: %v, want ErrNotFound", err)
	}
	if _, err := s.HostKey(); !errors.Is(err, ErrNotFound) {
		t.Errorf("no host key: %v, want ErrNotFound", err)
	}
	save(t, s, "", "A")
	save(t, s, "", "B")
	wantSaved(t, s, 2, "B")
}

// TestMoveTo has a state volume made while the machine runs.
func TestMoveTo(t *testing.T) {
	memory := InMemory()
	save(t, memory, "one", "A")
	save(t, memory, "two", "B")
	if err := memory.SetHostKey([]byte("key")); err != nil {
		t.Fatal(err)
	}
	volume := t.TempDir()
	s := opened(t, directory(t, volume))
	if err := memory.MoveTo(s); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{s, opened(t, directory(t, volume))} {
		wantSaved(t, s, 2, "B")
		if diff := cmp.Diff(memory.Revisions(), s.Revisions()); diff != "" || !s.Persistent() {
			t.Errorf("persistent: %t; revisions (-before +after):\n%s", s.Persistent(), diff)
		}
		if key, err := s.HostKey(); err != nil || string(key) != "key" {
			t.Errorf("the host key is %q (%v)", key, err)
		}
	}
	if err := memory.MoveTo(s); err == nil {
		t.Error("moved over what is there")
	}
}

// TestFoundOnTheVolume has a boot file that somebody put there.
func TestFoundOnTheVolume(t *testing.T) {
	volume := t.TempDir()
	write(t, volume, "config/dipper.yaml", "role: director\n")
	s := opened(t, directory(t, volume))
	wantSaved(t, s, 1, "role: director\n")
	if via := s.Revisions()[0].Via; via != "found on the volume" {
		t.Errorf("it came via %q", via)
	}
	save(t, s, "", "B")
	write(t, volume, "config/dipper.yaml", "edited\n")
	wantSaved(t, opened(t, directory(t, volume)), 3, "edited\n")
}

func write(t *testing.T, volume, name, text string) {
	t.Helper()
	full := filepath.Join(volume, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVolatile opens a directory in memory again and again, as a control plane
// does that is restarted: the newest revision is the saved one, and there is no
// second copy of it.
func TestVolatile(t *testing.T) {
	dir := t.TempDir()
	for n, configuration := range []string{"A", "B", "A"} {
		s, err := OpenVolatile(directory(t, dir))
		if err != nil || s.Persistent() {
			t.Fatalf("persistent: %t (%v)", s.Persistent(), err)
		}
		if n > 0 {
			wantSaved(t, s, n, []string{"A", "B"}[n-1])
		}
		save(t, s, "", configuration)
		wantSaved(t, s, n+1, configuration)
	}
	if _, err := os.Stat(filepath.Join(dir, BootFile)); !os.IsNotExist(err) {
		t.Errorf("there is a boot file (%v), and nothing boots with it", err)
	}
	s, err := OpenVolatile(directory(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	volume := directory(t, t.TempDir())
	made := opened(t, volume)
	if err := s.MoveTo(made); err != nil {
		t.Fatal(err)
	}
	wantSaved(t, opened(t, volume), 3, "A")
}

// TestRevisionsOfBefore has revisions with the sum that they had before, of
// which one was damaged.
func TestRevisionsOfBefore(t *testing.T) {
	volume := t.TempDir()
	of := func(number int, configuration string) string {
		return fmt.Sprintf("%s{\"revision\":%d,\"time\":\"2026-05-04T12:00:00Z\",\"sha256\":\"%x\"}\n", heading, number, sha256.Sum256([]byte(configuration)))
	}
	write(t, volume, revisionFile(1), of(1, "A")+"A")
	write(t, volume, revisionFile(2), of(2, "B")+"G")
	write(t, volume, revisionFile(3), of(3, "C")+"C")
	write(t, volume, BootFile, "C")
	s := opened(t, directory(t, volume))
	wantSaved(t, s, 3, "C")
	if len(s.Problems()) != 1 {
		t.Errorf("problems: %q, want the damaged one", s.Problems())
	}
	if _, text, err := s.Read(1); string(text) != "A" || err != nil {
		t.Errorf("revision 1 is %q (%v)", text, err)
	}
	save(t, s, "", "D")
	wantSaved(t, opened(t, directory(t, volume)), 4, "D")
}

// TestDamage has revisions that are not what was written: they are told of,
// not offered, and not removed.
func TestDamage(t *testing.T) {
	volume := t.TempDir()
	s := opened(t, directory(t, volume))
	for _, configuration := range []string{"A", "B", "C", "D"} {
		save(t, s, "", configuration)
	}
	write(t, volume, revisionFile(1), "")
	write(t, volume, revisionFile(2), heading+"{]\nB")
	flipped, err := os.ReadFile(filepath.Join(volume, revisionFile(3)))
	if err != nil {
		t.Fatal(err)
	}
	write(t, volume, revisionFile(3), strings.TrimSuffix(string(flipped), "C")+"G")
	write(t, volume, "config/revisions/notes.txt", "somebody's notes")
	write(t, volume, "config/revisions/5.yaml", "not a name of ours")
	s = opened(t, directory(t, volume))
	wantSaved(t, s, 4, "D")
	if problems := s.Problems(); len(problems) != 3 || len(s.Revisions()) != 1 {
		t.Errorf("%d revisions, problems %q", len(s.Revisions()), problems)
	}
	if names, err := directory(t, volume).List(revisionsDir); err != nil || len(names) != 6 {
		t.Errorf("%v (%v), want all six files", names, err)
	}
}

// failing is a FileSystem whose operation number fail, from 0, fails once.
type failing struct {
	*disk
	fail int
	err  error
}

func (f *failing) step() error {
	f.fail--
	if f.fail == -1 {
		return f.err
	}
	return nil
}

func (f *failing) WriteFile(name string, parts ...[]byte) error {
	data := slices.Concat(parts...)
	if err := f.step(); err != nil {
		return errors.Join(err, f.disk.WriteFile(name, data[:len(data)/2])) // a full disk takes a part
	}
	return f.disk.WriteFile(name, data)
}

func (f *failing) Rename(from, to string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.disk.Rename(from, to)
}

func (f *failing) SyncDirectory(name string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.disk.SyncDirectory(name)
}

// TestFullOrBroken lets every operation of a save fail once: it is an error,
// what was saved before is there or, when it failed behind the commit point,
// the new; and the next save works.
func TestFullOrBroken(t *testing.T) {
	for _, reason := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		operations := 0
		for ; ; operations++ {
			f := &failing{disk: newDisk(), fail: -1, err: reason}
			s := opened(t, f)
			save(t, s, "", "A")
			f.fail = operations
			_, err := s.Save(Revision{Time: noon}, []byte("B"))
			if err == nil {
				break
			}
			if !errors.Is(err, reason) {
				t.Errorf("got %v, want %v", err, reason)
			}
			r, saved, err := s.Saved()
			if err != nil || string(saved) != []string{"", "A", "B"}[r.Number] || len(s.Revisions()) != r.Number {
				t.Errorf("operation %d: saved is %d %q (%v) of %v", operations, r.Number, saved, err, s.Revisions())
			}
			next := save(t, s, "", "C")
			wantSaved(t, s, next.Number, "C")
			wantSaved(t, opened(t, f), next.Number, "C")
		}
		if operations != 6 {
			t.Errorf("%v: %d operations could fail, want 6", reason, operations)
		}
	}
}
