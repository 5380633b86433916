package responder

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"dipper/appliance/config"
)

// httpService is one HTTP listener. It answers GET and HEAD of any path with
// what it is configured to serve, and counts what POST and PUT bring.
type httpService struct {
	listener net.Listener
	server   *http.Server
	serves   atomic.Pointer[config.Responder]
	ended
}

func startHTTP(ctx context.Context, r config.Responder, log *slog.Logger) (service, error) {
	listener, err := listenTCP(ctx, r)
	if err != nil {
		return nil, err
	}
	return serveHTTP(listener, r, log), nil
}

func serveHTTP(listener net.Listener, r config.Responder, log *slog.Logger) *httpService {
	s := &httpService{listener: listener, ended: make(ended)}
	s.serves.Store(&r)
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       stallPatience,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.ended)
		if err := s.server.Serve(listener); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			log.Error("responder: listener ended", "listener", endpointOf(r).String(), "error", err)
		}
	}()
	return s
}

// change swaps what is served; requests under way keep what they began with.
// A file that cannot be read is an error, but may come later.
func (s *httpService) change(r config.Responder) error {
	s.serves.Store(&r)
	if r.File == "" {
		return nil
	}
	f, _, err := openRegular(r.File)
	if err != nil {
		return err
	}
	return f.Close()
}

func (s *httpService) stop() {
	_ = s.listener.Close() // fails only when it is closed already
	<-s.ended
}

func (s *httpService) drain(ctx context.Context) error {
	if err := s.server.Shutdown(ctx); err != nil {
		return errors.Join(err, s.server.Close())
	}
	return nil
}

// ServeHTTP answers one request.
func (s *httpService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		answer(w, r, *s.serves.Load())
	case http.MethodPost, http.MethodPut:
		count(w, r, maxUpload)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, PUT")
		http.Error(w, r.Method+" is not served here", http.StatusMethodNotAllowed)
	}
}

// answer serves a file, generated text or a body.
func answer(w http.ResponseWriter, r *http.Request, serves config.Responder) {
	switch {
	case serves.File != "":
		answerFile(w, r, serves)
	case serves.Size > 0:
		answerContent(w, r, serves, "text.txt", time.Time{}, generated(serves.Size))
	default:
		answerContent(w, r, serves, "body.txt", time.Time{}, strings.NewReader(serves.Body))
	}
}

func answerFile(w http.ResponseWriter, r *http.Request, serves config.Responder) {
	f, info, err := openRegular(serves.File)
	if err != nil {
		// The path is the administrator's business, not the client's.
		http.Error(w, "the file to serve is missing", http.StatusInternalServerError)
		return
	}
	defer f.Close() // it was only read: nothing can be lost
	answerContent(w, r, serves, info.Name(), info.ModTime(), f)
}

// answerContent serves content, with ranges and conditions if its status is
// 200, and as a whole if it is another, say that of a sorry page.
func answerContent(w http.ResponseWriter, r *http.Request, serves config.Responder, name string, modified time.Time, content io.ReadSeeker) {
	if strings.HasSuffix(name, ".txt") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	if serves.Status == 0 || serves.Status == http.StatusOK {
		http.ServeContent(w, r, name, modified, content)
		return
	}
	size, err := content.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil {
		http.Error(w, "the content to serve is unreadable", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.WriteHeader(serves.Status)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.Copy(w, content) // the client went away: there is nobody to tell
}

// openRegular opens a file that is a file: a directory has no content, and a
// device or pipe no end.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, info, nil
}

// count reads a request's body of at most limit bytes and answers its size and
// digest, so that an upload through the VIP can be told whole from broken.
func count(w http.ResponseWriter, r *http.Request, limit int64) {
	digest := sha256.New()
	n, err := int64(0), error(&http.MaxBytesError{Limit: limit})
	if r.ContentLength <= limit { // or else it is refused before it is sent
		body := http.MaxBytesReader(w, r.Body, limit)
		n, err = io.Copy(digest, patientReader{body, http.NewResponseController(w)})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, fmt.Sprintf("more than %d bytes", limit), http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	text := fmt.Sprintf("%d bytes, sha256 %x\n", n, digest.Sum(nil))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = io.WriteString(w, text) // the client went away: there is nobody to tell
}

// patientReader gives every read of a body stallPatience: a slow upload may
// take as long as it likes, one that stands still may not.
type patientReader struct {
	body       io.Reader
	controller *http.ResponseController
}

func (p patientReader) Read(b []byte) (int, error) {
	if err := p.controller.SetReadDeadline(time.Now().Add(stallPatience)); err != nil {
		return 0, err
	}
	return p.body.Read(b)
}
