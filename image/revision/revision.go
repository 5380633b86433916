// Package revision owns which state of the source an image is built from, as
// git tells it. It knows nothing of what is built.
package revision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Revision is a state of the source tree.
type Revision struct {
	Version string    // 1.2.0, 1.2.0-3-g82d193e, 0.0.0-82d193e31c5f; with -dirty where Dirty
	Commit  string    // 40 hexadecimal digits, empty outside of a git repository
	Dirty   bool      // the tree differs from Commit
	Time    time.Time // of everything that is built: SOURCE_DATE_EPOCH, else that of Commit; UTC
}

// unversioned is the version of a tree without git, as one out of a tarball.
const unversioned = "0.0.0-unversioned"

// Read asks git for the revision of the tree at root. epoch is the value of
// SOURCE_DATE_EPOCH, or empty (https://reproducible-builds.org/specs/source-date-epoch/).
func Read(ctx context.Context, root, epoch string) (Revision, error) {
	revision, err := fromGit(ctx, root)
	if err != nil || epoch == "" {
		return revision, err
	}
	revision.Time, err = parseEpoch(epoch)
	return revision, err
}

func fromGit(ctx context.Context, root string) (Revision, error) {
	if _, err := os.Stat(filepath.Join(root, ".git")); errors.Is(err, fs.ErrNotExist) {
		return Revision{Version: unversioned, Time: time.Unix(0, 0).UTC()}, nil
	}
	git := repository{root: root}
	head, err := git.run(ctx, "log", "-1", "--format=%H %ct")
	if err != nil {
		return Revision{}, err
	}
	commit, seconds, _ := strings.Cut(head, " ")
	committed, err := parseEpoch(seconds)
	if err != nil {
		return Revision{}, err
	}
	changes, err := git.run(ctx, "status", "--porcelain")
	if err != nil {
		return Revision{}, err
	}
	tags, err := git.run(ctx, "tag", "--merged", "HEAD", "--list", "v[0-9]*")
	if err != nil {
		return Revision{}, err
	}
	described := ""
	if tags != "" {
		if described, err = git.run(ctx, "describe", "--tags", "--match", "v[0-9]*"); err != nil {
			return Revision{}, err
		}
	}
	dirty := changes != ""
	return Revision{Version: version(described, commit, dirty), Commit: commit, Dirty: dirty, Time: committed}, nil
}

// version makes a version out of what git describe says, which is nothing before
// the first tag.
func version(described, commit string, dirty bool) string {
	name := strings.TrimPrefix(described, "v")
	if name == "" {
		name = "0.0.0-" + commit[:12]
	}
	if dirty {
		name += "-dirty"
	}
	return name
}

func parseEpoch(text string) (time.Time, error) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: expected seconds since 1970, as date +%%s gives", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

type repository struct{ root string }

func (r repository) run(ctx context.Context, args ...string) (string, error) {
	// Who asks to build a tree trusts it; git would refuse one of another owner,
	// which is what CI machines and containers have.
	args = append([]string{"-c", "safe.directory=" + r.root, "-C", r.root}, args...)
	command := exec.CommandContext(ctx, "git", args...)
	command.Env = append(os.Environ(), "LC_ALL=C")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return strings.TrimSpace(string(output)), nil
}
