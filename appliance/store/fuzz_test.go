package store

import (
	"bytes"
	"testing"
	"time"
)

// FuzzDecode reads what a damaged disk may hold. What is taken for a revision
// is one that is written the same way, as long as its line is ours.
func FuzzDecode(f *testing.F) {
	whole, err := describe(Revision{Number: 7, Time: noon, Comment: "a\nb", Sum: sum([]byte("role: director\n"))})
	if err != nil {
		f.Fatal(err)
	}
	whole = append(whole, "role: director\n"...)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte(heading + "{}\n"))
	f.Add([]byte(heading + "null"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, configuration, err := decode(7, file)
		if err != nil {
			return
		}
		if r.Number != 7 || !r.whole(configuration) || !bytes.HasSuffix(file, configuration) {
			t.Errorf("taken for revision %+v with %q", r, configuration)
		}
	})
}

// FuzzOpen opens a volume with anything as its files: nothing panics, nothing
// that is not whole is offered, and what is saved next is found.
func FuzzOpen(f *testing.F) {
	f.Add("role: director\n", []byte(heading+"{}\n"), "00000001.yaml")
	f.Add("", []byte{}, "99999999999999999999.yaml")
	f.Add("a", []byte("b"), "00000002.yaml.new")
	f.Add("a", []byte("b"), "-0000001.yaml")
	f.Fuzz(func(t *testing.T, boot string, revision []byte, name string) {
		files := NewMemory()
		for _, directory := range []string{"config", revisionsDir} {
			if err := files.MakeDirectory(directory); err != nil {
				t.Fatal(err)
			}
		}
		files.files[BootFile], files.files[revisionsDir+"/"+name] = []byte(boot), revision
		s, err := Open(files, time.Time{})
		if err != nil {
			return
		}
		if _, saved, err := s.Saved(); err != nil || string(saved) != boot {
			t.Errorf("saved is %q (%v), want %q", saved, err, boot)
		}
		next := save(t, s, "", "next")
		wantSaved(t, opened(t, files), next.Number, "next")
	})
}
