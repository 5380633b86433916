package bootconfig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pack.ag/tftp"
)

// online is a machine with one link, a lease, and a URL on its command line.
func online(t *testing.T, url string) *fakeMachine {
	m := newMachine(t)
	m.link("eth0", "52:54:00:00:00:01")
	m.network.lease = &Lease{MAC: "52:54:00:00:00:02", Hostname: "lb1"}
	m.commandLine("dipper.config=" + url)
	return m
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestHTTP(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
		tries   int32
	}{
		{"plain", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "role: director\n")
		}, "found: ", 1},
		{"packed", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(packed(t, []byte("role: director\n"))) // a failure shows at the client
		}, "found: ", 1},
		{"a server that packs although nobody asked", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed(t, []byte("role: director\n"))) // as above
		}, "found: ", 1},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		}, "failed: fetch: the server answered 403 Forbidden", 1},
		{"no content", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}, "failed: fetch: the server answered 204 No Content", 1},
		{"blank", func(http.ResponseWriter, *http.Request) {}, "failed: it is empty", 1},
		{"announced too large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(MaxSize+1))
		}, "failed: fetch: " + errTooLarge.Error(), 1},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "failed: fetch: " + errTooLarge.Error(), 1},
		{"redirected in a circle", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/", http.StatusFound)
		}, `failed: fetch: Get "/": more than 5 redirects`, 6},
		{"redirected to a file", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/shadow", http.StatusFound)
		}, `failed: fetch: Get "file:///etc/shadow": redirect from http to file is refused`, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tries atomic.Int32
			base := serve(t, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				test.handler(w, r)
			})
			result, _ := online(t, base+"/lb1.yaml").acquire()
			step := result.Steps[0]
			if got := string(step.Outcome) + ": " + step.Detail; got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if tries.Load() != test.tries {
				t.Errorf("the server was asked %d times, want %d", tries.Load(), test.tries)
			}
			if step.Outcome == Found && string(result.Data) != "role: director\n" {
				t.Errorf("data is %q", result.Data)
			}
		})
	}
}

// TestHTTPComesBack has a server that fails twice, once in the middle of the file.
func TestHTTPComesBack(t *testing.T) {
	var tries atomic.Int32
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch tries.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "role: dir")
		default:
			fmt.Fprint(w, "role: director\n")
		}
	})
	m := online(t, base)
	result, err := m.acquire()
	if err != nil || string(result.Data) != "role: director\n" || tries.Load() != 3 {
		t.Errorf("got %q, %v after %d tries", result.Data, err, tries.Load())
	}
	for _, told := range []string{"503 Service Unavailable", "unexpected EOF"} {
		if !strings.Contains(m.log.String(), told) {
			t.Errorf("the log does not tell of %s:\n%s", told, m.log.String())
		}
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, "http://127.0.0.1/", http.StatusFound)
			return
		}
		fmt.Fprint(w, "role: director\n")
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	for _, test := range []struct {
		path        string
		authorities *x509.CertPool
		want        string
	}{
		{"/lb1.yaml", trusted, "found: "},
		{"/lb1.yaml", x509.NewCertPool(), "unknown authority; add the authority's certificate to /etc/ssl/certs"},
		{"/down", trusted, "redirect from https to http is refused"},
	} {
		m := online(t, server.URL+test.path).machine()
		m.Authorities = test.authorities
		result, _ := Acquire(t.Context(), m)
		step := result.Steps[0]
		if got := string(step.Outcome) + ": " + step.Detail; !strings.Contains(got, test.want) {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// TestWrongClock is about what is said when a certificate is not yet valid.
func TestWrongClock(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	_, err := server.Certificate().Verify(x509.VerifyOptions{Roots: trusted, CurrentTime: time.Unix(-1, 0)})
	explained := explainTLS(&url.Error{Op: "Get", URL: server.URL, Err: &tls.CertificateVerificationError{Err: err}})
	if !errors.As(explained, new(permanentError)) || !strings.Contains(explained.Error(), "this machine's clock says 2") {
		t.Errorf("error is %v", explained)
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "geheim" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprint(w, "role: director\n")
	})
	m := online(t, strings.Replace(base, "http://", "http://dipper:geheim@", 1)+"/lb1.yaml")
	result, err := m.acquire()
	if err != nil {
		t.Fatal(err)
	}
	if shown := result.Source + steps(result.Steps) + m.log.String(); strings.Contains(shown, "geheim") {
		t.Errorf("the password is shown:\n%s", shown)
	}
}

// tftpServer serves one file.
func tftpServer(t *testing.T, name string, content []byte) string {
	t.Helper()
	server, err := tftp.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.ReadHandler(tftp.ReadHandlerFunc(func(w tftp.ReadRequest) {
		if w.Name() != name {
			w.WriteError(tftp.ErrCodeFileNotFound, "no file "+w.Name())
			return
		}
		w.WriteSize(int64(len(content)))
		w.Write(content) // a failure shows at the client
	}))
	connection, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(connection) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return "tftp://" + connection.LocalAddr().String()
}

func TestTFTP(t *testing.T) {
	config := []byte("role: director\n" + strings.Repeat("# a comment of some length\n", 1000))
	base := tftpServer(t, "52:54:00:00:00:02.yaml", config)
	for path, want := range map[string]string{
		"/${mac}.yaml": "found: ",
		"/other.yaml":  "failed: fetch: tftp: the server answered: ",
	} {
		result, _ := online(t, base+path).acquire()
		step := result.Steps[0]
		if got := string(step.Outcome) + ": " + step.Detail; !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
		if step.Outcome == Found && string(result.Data) != string(config) {
			t.Errorf("got %d bytes, want %d", len(result.Data), len(config))
		}
	}
}

func TestTFTPTooLarge(t *testing.T) {
	base := tftpServer(t, "x", make([]byte, MaxSize+1))
	result, _ := online(t, base+"/x").acquire()
	if step := result.Steps[0]; step.Outcome != Failed || !strings.Contains(step.Detail, errTooLarge.Error()) {
		t.Errorf("step is %+v", step)
	}
}

// TestBackoff looks at the clock of a server that never answers well.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		var at []time.Duration
		f := fetcher{
			get: func(context.Context, *url.URL) ([]byte, error) {
				at = append(at, time.Since(started))
				return nil, errors.New("connection refused")
			},
			jitter: func() float64 { return 1 },
			log:    slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := f.fetch(ctx, &url.URL{Scheme: "http", Host: "h"})
		if got, want := fmt.Sprint(at), "[0s 500ms 1.5s 3.5s 7.5s 15.5s 23.5s]"; got != want {
			t.Errorf("tries at %s, want %s", got, want)
		}
		if got, want := errorText(err), "fetch: gave up after 7 tries in 30s: connection refused"; got != want {
			t.Errorf("error is %q, want %q", got, want)
		}
	})
}

// TestSilentServer has tries that hang: each is given up for another.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		f := newFetcher(nil, slog.New(slog.DiscardHandler))
		f.get = func(ctx context.Context, _ *url.URL) ([]byte, error) {
			tries++
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := f.fetch(ctx, &url.URL{Scheme: "http", Host: "h"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if tries != 4 {
			t.Errorf("%d tries in a minute, want 4", tries)
		}
	})
}
