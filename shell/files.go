package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"

	"dipper/appliance/api"
)

// Files are what sftp and scp see: configurations, under names.
type Files interface {
	ShowConfig(ctx context.Context, which string, q api.ShowQuery) (string, error)
	Revisions(ctx context.Context) ([]api.Revision, error)
	OpenCandidate(ctx context.Context, shared bool) (api.Candidate, error)
	EditCandidate(ctx context.Context, id string, edit api.Edit) (api.Candidate, error)
	Commit(ctx context.Context, id string, o api.CommitOptions) (api.Committed, error)
	CloseCandidate(ctx context.Context, id string) error
}

// The names. What is written to loadFile is committed.
const (
	runningFile  = "/running.yaml"
	savedFile    = "/saved.yaml"
	loadFile     = "/load.yaml"
	revisionsDir = "/revisions"
)

// maxOpenFiles is how many files a client may hold open: each is a whole
// configuration in memory.
const maxOpenFiles = 16

// serveFiles speaks sftp until the client has enough.
func (ch *channel) serveFiles(ctx context.Context) (status int) {
	v := &fileView{ctx: ctx, files: ch.connection.server.Files, admin: ch.grant.Role == api.Admin, errors: ch.stderr()}
	stream := struct {
		io.Reader
		io.WriteCloser
	}{ch.input, writeCloser{ch.stdout(), ch.stream.CloseWrite}}
	server := sftp.NewRequestServer(stream, sftp.Handlers{FileGet: v, FilePut: v, FileCmd: v, FileList: v})
	// The client is gone, or to be ended. That closes the channel whole: to end
	// one direction is for who writes alone (golang.org/x/crypto/ssh, CloseWrite).
	defer context.AfterFunc(ctx, func() { _ = ch.stream.Close() })()
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return exitFailed
	}
	return exitOK
}

type writeCloser struct {
	io.Writer
	close func() error
}

func (w writeCloser) Close() error { return w.close() }

// fileView answers what one sftp client asks.
type fileView struct {
	ctx   context.Context
	files Files
	admin bool
	open  atomic.Int32 // files that the client holds open
	// errors is where what is wrong is said in full: OpenSSH's scp and sftp
	// show the status code of an answer, and not its text.
	errors io.Writer
	// loaded is what became of the last upload; nil: there was none.
	loaded atomic.Pointer[loaded]
}

// loaded is what became of an upload.
type loaded struct {
	size int
	err  error
}

// fail answers an error with its status code, and says what is wrong.
func (v *fileView) fail(err error) error {
	// Who is gone needs no words.
	_, _ = fmt.Fprintf(v.errors, "%v\n", err)
	return statusOf(err)
}

// statusOf is an error as the library knows it: it does not unwrap.
func statusOf(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sftp.ErrSSHFxNoSuchFile
	case errors.Is(err, fs.ErrPermission):
		return sftp.ErrSSHFxPermissionDenied
	}
	return err
}

// Fileread opens a configuration for reading.
func (v *fileView) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	if err := v.room(); err != nil {
		return nil, v.fail(err)
	}
	text, err := v.text(r.Filepath)
	if err != nil {
		v.open.Add(-1)
		return nil, v.fail(err)
	}
	return &download{strings.NewReader(text), v}, nil
}

// room makes room for one more open file.
func (v *fileView) room() error {
	if v.open.Add(1) > maxOpenFiles {
		v.open.Add(-1)
		return fmt.Errorf("more than %d open files", maxOpenFiles)
	}
	return nil
}

// download is a configuration that is being read.
type download struct {
	*strings.Reader
	view *fileView
}

// Close makes room for another.
func (d *download) Close() error {
	d.view.open.Add(-1)
	return nil
}

func (v *fileView) text(name string) (string, error) {
	which, err := whichConfig(name)
	if err != nil {
		return "", err
	}
	return v.files.ShowConfig(v.ctx, which, api.ShowQuery{Format: api.FormatYAML})
}

// whichConfig is what the control socket calls the file: "running", "saved" or
// a revision's number.
func whichConfig(name string) (string, error) {
	switch name {
	case runningFile:
		return "running", nil
	case savedFile:
		return "saved", nil
	}
	if dir, base := path.Split(name); dir == revisionsDir+"/" {
		number, ok := strings.CutSuffix(base, ".yaml")
		if n, err := strconv.Atoi(number); ok && err == nil && strconv.Itoa(n) == number {
			return number, nil
		}
	}
	return "", fmt.Errorf("%s: %w: there are running.yaml, saved.yaml and revisions/N.yaml to read, and load.yaml to write", name, fs.ErrNotExist)
}

// Filewrite takes a configuration. It is committed when the client closes the
// file.
func (v *fileView) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	if r.Filepath != loadFile {
		return nil, v.fail(fmt.Errorf("%s: cannot be written: write to load.yaml what is to be committed", r.Filepath))
	}
	if !v.admin {
		return nil, v.fail(fmt.Errorf("load.yaml: %w: only an admin may commit", fs.ErrPermission))
	}
	if err := v.room(); err != nil {
		return nil, v.fail(err)
	}
	return &upload{view: v}, nil
}

// upload is a configuration that is being written.
type upload struct {
	view *fileView

	mu   sync.Mutex
	text []byte
	lost error // the connection broke while it was open
}

// WriteAt takes a part. Clients write several at once, in any order.
func (u *upload) WriteAt(p []byte, at int64) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	end := at + int64(len(p))
	if at < 0 || end > api.MaxConfigSize {
		return 0, u.view.fail(fmt.Errorf("load.yaml: more than %d bytes", api.MaxConfigSize))
	}
	if gap := int(end) - len(u.text); gap > 0 {
		u.text = append(u.text, make([]byte, gap)...)
	}
	return copy(u.text[at:], p), nil
}

// TransferError is told before Close when the client did not close the file
// (sftp.TransferError).
func (u *upload) TransferError(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lost = err
}

// Close commits, unless the client has gone: what there is of the file may be
// half of it.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.view.open.Add(-1)
	if u.lost != nil {
		return u.lost // nobody is there to read more
	}
	err := u.commit()
	u.view.loaded.Store(&loaded{len(u.text), err})
	if err != nil {
		return u.view.fail(err)
	}
	return nil
}

func (u *upload) commit() error {
	if len(bytes.TrimSpace(u.text)) == 0 {
		return errors.New("load.yaml: empty: nothing was committed")
	}
	return commitText(u.view.ctx, u.view.files, string(u.text), "written to load.yaml")
}

// commitText makes a text the configuration, by a candidate of its own.
func commitText(ctx context.Context, files Files, text, comment string) (err error) {
	c, err := files.OpenCandidate(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.CloseCandidate(ctx, c.ID)) }()
	if _, err := files.EditCandidate(ctx, c.ID, api.Edit{Kind: api.EditOverride, Text: text}); err != nil {
		return err
	}
	_, err = files.Commit(ctx, c.ID, api.CommitOptions{Comment: comment})
	return err
}

// Filecmd refuses to rename, remove and the like. Clients set times and modes
// after writing, which mean nothing here.
func (v *fileView) Filecmd(r *sftp.Request) error {
	if r.Method == "Setstat" && r.Filepath == loadFile {
		return nil
	}
	return v.fail(fmt.Errorf("%s: %s is not possible here", r.Filepath, strings.ToLower(r.Method)))
}

// Filelist lists a directory, or tells what a file is.
func (v *fileView) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	var found []os.FileInfo
	var err error
	switch r.Method {
	case "List":
		found, err = v.list(r.Filepath)
	case "Stat":
		var one os.FileInfo
		one, err = v.stat(r.Filepath)
		found = []os.FileInfo{one}
	default:
		return nil, sftp.ErrSSHFxOpUnsupported
	}
	if err != nil {
		return nil, statusOf(err) // clients look before they write
	}
	return listing(found), nil
}

func (v *fileView) list(dir string) ([]os.FileInfo, error) {
	switch dir {
	case "/":
		var found []os.FileInfo
		for _, name := range []string{runningFile, savedFile} {
			if one, err := v.stat(name); err == nil {
				found = append(found, one)
			}
		}
		return append(found, directory(revisionsDir)), nil
	case revisionsDir:
		revisions, err := v.files.Revisions(v.ctx)
		var found []os.FileInfo
		for _, r := range revisions {
			found = append(found, fileInfo{name: strconv.Itoa(r.Number) + ".yaml", time: r.Time})
		}
		return found, err
	}
	return nil, fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
}

func (v *fileView) stat(name string) (os.FileInfo, error) {
	switch name {
	case "/", revisionsDir:
		return directory(name), nil
	case loadFile:
		return v.statLoaded()
	}
	text, err := v.text(name)
	if err != nil {
		return nil, err
	}
	return fileInfo{name: path.Base(name), size: int64(len(text)), time: time.Now()}, nil
}

// statLoaded tells what became of the last upload. There is nothing to read,
// but paramiko drops the answer to a close, and looks afterwards how long the
// file is (SFTPClient.putfo).
func (v *fileView) statLoaded() (os.FileInfo, error) {
	last := v.loaded.Load()
	switch {
	case last == nil:
		return nil, fmt.Errorf("%s: %w", loadFile, fs.ErrNotExist)
	case last.err != nil:
		return nil, last.err
	}
	return fileInfo{name: path.Base(loadFile), size: int64(last.size), mode: 0o222, time: time.Now()}, nil
}

// fileInfo is a file that is no file.
type fileInfo struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
}

func directory(name string) fileInfo {
	return fileInfo{name: path.Base(name), mode: fs.ModeDir | 0o555}
}

func (f fileInfo) Name() string       { return f.name }
func (f fileInfo) Size() int64        { return f.size }
func (f fileInfo) ModTime() time.Time { return f.time }
func (f fileInfo) IsDir() bool        { return f.mode.IsDir() }
func (f fileInfo) Sys() any           { return nil }

func (f fileInfo) Mode() fs.FileMode {
	if f.mode == 0 {
		return 0o444
	}
	return f.mode
}

// listing is a list that is handed out in parts.
type listing []os.FileInfo

func (l listing) ListAt(part []os.FileInfo, at int64) (int, error) {
	if at >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(part, l[at:])
	if n < len(part) {
		return n, io.EOF
	}
	return n, nil
}
