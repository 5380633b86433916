package shell

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"dipper/shell/session"
)

// hearing is a Conversation that reads to the end, and tells how that went.
type hearing struct {
	session.Session
	heard chan error
}

func (h hearing) Exec(context.Context, string) int {
	text, err := io.ReadAll(h.In)
	if err == nil && string(text) != "half of it" {
		err = errors.New(string(text))
	}
	h.heard <- err
	return 0
}

func (h hearing) Interact(ctx context.Context) error {
	h.Exec(ctx, "")
	return nil
}

// TestCutOffInput tells what a client sent to the end from what a connection
// that broke left of it: half a configuration must not pass for a whole one.
func TestCutOffInput(t *testing.T) {
	joe := newPerson(t, "joe")
	begin := map[string]func(*gossh.Session) error{
		"command": func(work *gossh.Session) error { return work.Start("load override") },
		"script":  func(work *gossh.Session) error { return work.Shell() },
	}
	end := map[string]struct {
		how   func(c *gossh.Client, work *gossh.Session, in io.WriteCloser) error
		whole bool
	}{
		"end of input":       {func(_ *gossh.Client, _ *gossh.Session, in io.WriteCloser) error { return in.Close() }, true},
		"connection is lost": {func(c *gossh.Client, _ *gossh.Session, _ io.WriteCloser) error { return c.Close() }, false},
		"channel is closed":  {func(_ *gossh.Client, work *gossh.Session, _ io.WriteCloser) error { return work.Close() }, false},
	}
	for what, start := range begin {
		for how, tt := range end {
			t.Run(what+", "+how, func(t *testing.T) {
				heard := make(chan error, 1)
				s := startHearing(t, joe, heard)
				c := s.mustDial(t, joe)
				work := openSession(t, c)
				in, _ := pipes(t, work)
				if err := start(work); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(in, "half of it"); err != nil {
					t.Fatal(err)
				}
				if err := tt.how(c, work, in); err != nil {
					t.Fatal(err)
				}
				if err := <-heard; (err == nil) != tt.whole {
					t.Errorf("the reader was told %v", err)
				}
			})
		}
	}
}

func startHearing(t *testing.T, p *person, heard chan error) *server {
	return start(t, one(p), func(s *SSH) {
		s.Begin = func(s session.Session) Conversation { return hearing{s, heard} }
	})
}

// TestHalfAnUpload commits what a client has closed, and nothing of what a
// broken connection left open.
func TestHalfAnUpload(t *testing.T) {
	joe := newPerson(t, "joe")
	files := &configurations{}
	s := start(t, one(joe), func(s *SSH) { s.Files = files })
	connect := func() (*gossh.Client, *sftp.File) {
		c := s.mustDial(t, joe)
		client, err := sftp.NewClient(c)
		if err != nil {
			t.Fatal(err)
		}
		file, err := client.Create("/load.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write([]byte("role: director\n")); err != nil {
			t.Fatal(err)
		}
		return c, file
	}
	c, _ := connect()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	s.gate.await(t, "the end", func() bool { return len(s.gate.ended) == 1 })
	if got := files.last(); got != "" {
		t.Errorf("half an upload was committed: %q", got)
	}
	_, whole := connect()
	if err := whole.Close(); err != nil || !strings.HasPrefix(files.last(), "role: director\n") {
		t.Errorf("a whole one: %v, committed %q", err, files.last())
	}
}

// TestTooManyFiles bounds what one client holds open: each may be as large as a
// configuration.
func TestTooManyFiles(t *testing.T) {
	joe := newPerson(t, "joe")
	s := start(t, one(joe), func(s *SSH) { s.Files = &configurations{} })
	client, err := sftp.NewClient(s.mustDial(t, joe))
	if err != nil {
		t.Fatal(err)
	}
	var open []*sftp.File
	for range maxOpenFiles {
		f, err := client.Open("/running.yaml")
		if err != nil {
			t.Fatalf("after %d: %v", len(open), err)
		}
		open = append(open, f)
	}
	for name, try := range map[string]func() (*sftp.File, error){
		"read":  func() (*sftp.File, error) { return client.Open("/running.yaml") },
		"write": func() (*sftp.File, error) { return client.Create("/load.yaml") },
	} {
		if _, err := try(); err == nil {
			t.Errorf("%s: one more than %d", name, maxOpenFiles)
		}
	}
	for _, f := range open {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Open("/running.yaml"); err != nil {
		t.Errorf("after they were closed: %v", err)
	}
}

// TestNothingElse looks for ways out of what sftp is to show.
func TestNothingElse(t *testing.T) {
	joe := newPerson(t, "joe")
	files := &configurations{}
	s := start(t, one(joe), func(s *SSH) { s.Files = files })
	client, err := sftp.NewClient(s.mustDial(t, joe))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"/etc/passwd", "../etc/passwd", "/revisions/../../etc/passwd", "/revisions/..", "//etc/passwd", "/proc/self/environ",
		"/run/dipper/config.yaml", "/revisions/../run/dipper/state/host-key", "revisions/7.yaml/../../../host-key", "/revisions/+7.yaml",
		"/revisions/07.yaml", "/revisions/running.yaml", "/running.yaml\x00", "", ".", "/load.yaml", "~/running.yaml",
	} {
		if f, err := client.Open(name); err == nil {
			text, _ := io.ReadAll(f)
			t.Errorf("%q can be read: %.80q", name, text)
		}
		if f, err := client.Create(name); err == nil && name != "/load.yaml" {
			t.Errorf("%q can be written: %s", name, f.Name())
		}
	}
	refused := map[string]error{
		"remove":   client.Remove("/running.yaml"),
		"rename":   client.Rename("/load.yaml", "/saved.yaml"),
		"replace":  client.PosixRename("/load.yaml", "/saved.yaml"),
		"mkdir":    client.Mkdir("/x"),
		"rmdir":    client.RemoveDirectory("/revisions"),
		"symlink":  client.Symlink("/etc/passwd", "/x"),
		"hardlink": client.Link("/etc/passwd", "/x"),
		"chmod":    client.Chmod("/running.yaml", 0o777),
	}
	if _, err := client.ReadLink("/running.yaml"); err == nil {
		t.Error("there is a link")
	}
	if _, err := client.StatVFS("/"); err == nil {
		t.Error("the file system is told of")
	}
	for what, err := range refused {
		if err == nil {
			t.Errorf("%s is possible", what)
		}
	}
	if got := files.last(); got != "" {
		t.Errorf("committed: %q", got)
	}
}
