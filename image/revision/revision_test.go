package revision

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// committed is the time of every commit in these tests.
const committed = 1780000000

// repositoryWith is a new repository with one commit, after which git runs with
// each of the argument lists.
func repositoryWith(t *testing.T, commands ...string) string {
	t.Helper()
	root := t.TempDir()
	writeFile(t, root, "init.go", "package main\n")
	for _, command := range append([]string{"init -q", "add .", "commit -q -m first"}, commands...) {
		git(t, root, strings.Fields(command)...)
	}
	return root
}

func git(t *testing.T, root string, args ...string) string {
	t.Helper()
	command := exec.Command("git", append([]string{"-C", root}, args...)...)
	command.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1780000000 +0200",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=1780000000 +0200")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, output)
	}
	return strings.TrimSpace(string(output))
}

func writeFile(t *testing.T, root, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, name), []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	for _, test := range []struct {
		name     string
		commands []string
		change   string // file to write after the commands
		version  string // HEAD stands for the commit's first digits: 12, as Read takes, or git's own 7
		dirty    bool
	}{
		{name: "no tag", version: "0.0.0-HEAD12"},
		{name: "no tag, changed", change: "init.go", version: "0.0.0-HEAD12-dirty", dirty: true},
		{name: "new file", change: "new.go", version: "0.0.0-HEAD12-dirty", dirty: true},
		{name: "on a tag", commands: []string{"tag v1.2.0"}, version: "1.2.0"},
		{name: "on a tag, changed", commands: []string{"tag v1.2.0"}, change: "init.go", version: "1.2.0-dirty", dirty: true},
		{
			name:     "after a tag",
			commands: []string{"tag v1.2.0", "commit -q --allow-empty -m second"},
			version:  "1.2.0-1-gHEAD7",
		},
		{name: "a tag of something else", commands: []string{"tag demo"}, version: "0.0.0-HEAD12"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := repositoryWith(t, test.commands...)
			if test.change != "" {
				writeFile(t, root, test.change, "package changed\n")
			}
			head := git(t, root, "rev-parse", "HEAD")
			want := Revision{
				Version: strings.NewReplacer("HEAD12", head[:12], "HEAD7", head[:7]).Replace(test.version),
				Commit:  head,
				Dirty:   test.dirty,
				Time:    time.Unix(committed, 0).UTC(),
			}
			got, err := Read(t.Context(), root, "")
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestReadWithoutGit(t *testing.T) {
	got, err := Read(t.Context(), t.TempDir(), "1700000000")
	if err != nil {
		t.Fatal(err)
	}
	want := Revision{Version: unversioned, Time: time.Unix(1700000000, 0).UTC()}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEpochWinsOverCommit(t *testing.T) {
	got, err := Read(t.Context(), repositoryWith(t), "1700000000")
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Unix(1700000000, 0).UTC(); got.Time != want {
		t.Errorf("time %v, want %v", got.Time, want)
	}
}

func TestReadRefusesBadEpoch(t *testing.T) {
	for _, epoch := range []string{"yesterday", "-1", "2026-01-01", "1.5"} {
		_, err := Read(t.Context(), t.TempDir(), epoch)
		if err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") || !strings.Contains(err.Error(), epoch) {
			t.Errorf("%q: error does not name the variable and its value: %v", epoch, err)
		}
	}
}

func TestReadSaysWhatGitSays(t *testing.T) {
	root := t.TempDir()
	git(t, root, "init", "-q")
	_, err := Read(t.Context(), root, "")
	if err == nil || !strings.Contains(err.Error(), "does not have any commits yet") {
		t.Errorf("a repository without a commit: %v", err)
	}
}
