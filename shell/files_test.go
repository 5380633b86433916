package shell

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"dipper/appliance/api"
)

// TestFiles reads and writes configurations with Debian's scp and sftp.
func TestFiles(t *testing.T) {
	joe, eve := newPerson(t, "joe"), newPerson(t, "eve")
	files := &configurations{}
	a := one(joe)
	a.Users = append(a.Users, api.User{Name: "eve", Role: api.Operate, Keys: []string{eve.read("key.pub")}})
	s := start(t, a, func(s *SSH) { s.Files = files })
	scp := func(p *person, from, to string) (errOut string, status int) {
		_, errOut, status = p.client("", "scp", append(p.options(s), from, to)...)
		return errOut, status
	}

	for _, name := range []string{"running", "saved", "revisions/7"} {
		if errOut, status := scp(joe, "host:"+name+".yaml", joe.file("got")); status != 0 {
			t.Errorf("%s: %d, %s", name, status, errOut)
			continue
		}
		want := "# " + strings.TrimPrefix(name, "revisions/") + "\nrole: director"
		if got := joe.read("got"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if errOut, status := scp(joe, "host:revisions/12.yaml", joe.file("got")); status == 0 {
		t.Errorf("a revision that is not there: %s", errOut)
	}
	if errOut, status := scp(joe, "host:/etc/passwd", joe.file("got")); status == 0 || !strings.Contains(errOut, "o such file") {
		t.Errorf("a file of the system: %d, %s", status, errOut)
	}

	text := "role: director\n" + strings.Repeat("# a long comment\n", 100_000)
	if err := os.WriteFile(joe.file("new.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if errOut, status := scp(joe, joe.file("new.yaml"), "host:load.yaml"); status != 0 {
		t.Errorf("load.yaml: %d, %s", status, errOut)
	}
	if got := files.last(); got != text+" (written to load.yaml by joe)" {
		t.Errorf("committed: %d bytes, %.40q", len(got), got)
	}

	refused := map[string]struct {
		p    *person
		to   string
		want string
	}{
		"another name": {joe, "host:running.yaml", "write to load.yaml what is to be committed"},
		"an operator":  {eve, "host:load.yaml", "only an admin may commit"},
	}
	for name, tt := range refused {
		if errOut, status := scp(tt.p, joe.file("new.yaml"), tt.to); status == 0 || !strings.Contains(errOut, tt.want) {
			t.Errorf("%s: %d, %q; want %q", name, status, errOut, tt.want)
		}
	}
	files.mu.Lock()
	files.refuse = &api.Error{Message: "line 3: there is no scheduler lcss"}
	files.mu.Unlock()
	if errOut, status := scp(joe, joe.file("new.yaml"), "host:load.yaml"); status == 0 || !strings.Contains(errOut, "there is no scheduler lcss") {
		t.Errorf("what is wrong with it is not said: %d, %q", status, errOut)
	}
	files.mu.Lock()
	if len(files.committed) != 1 {
		t.Errorf("%d commits", len(files.committed))
	}
	files.mu.Unlock()

	out, errOut, status := joe.client("ls\nls revisions\nrename running.yaml x\n", "sftp", append(joe.options(s), "-b", "-", "host")...)
	for _, want := range []string{"running.yaml", "saved.yaml", "revisions", "revisions/7.yaml", "revisions/8.yaml"} {
		if !strings.Contains(out, want) {
			t.Errorf("sftp does not list %s: %q, %q", want, out, errOut)
		}
	}
	if status == 0 || !strings.Contains(errOut, "rename is not possible here") {
		t.Errorf("rename: %d, %q", status, errOut)
	}
}

// TestLoadedFile tells a client that asks after an upload how long the file is,
// or why it was not taken: paramiko's put does, and looks at nothing else.
func TestLoadedFile(t *testing.T) {
	joe := newPerson(t, "joe")
	files := &configurations{}
	s := start(t, one(joe), func(s *SSH) { s.Files = files })
	conn, err := s.dial("joe", gossh.PublicKeys(joe.signer()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Stat("load.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before anything was loaded: %v", err)
	}
	put := func(text string) {
		t.Helper()
		f, err := client.OpenFile("load.yaml", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = f.Close() // as paramiko does
	}
	put("role: director\n")
	if info, err := client.Stat("load.yaml"); err != nil || info.Size() != int64(len("role: director\n")) {
		t.Errorf("after a good one: %v, %v", info, err)
	}
	files.mu.Lock()
	files.refuse = &api.Error{Message: "line 3: there is no scheduler lcss"}
	files.mu.Unlock()
	put("role: nothing\n")
	if _, err := client.Stat("load.yaml"); err == nil || !strings.Contains(err.Error(), "there is no scheduler lcss") {
		t.Errorf("after a bad one: %v", err)
	}
}
