package responder

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dipper/appliance/config"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// freePort finds a port that nobody listens on.
func freePort(t *testing.T, network string) uint16 {
	t.Helper()
	if network == "udp" {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// serving starts a server with the given listeners.
func serving(t *testing.T, want ...config.Responder) *Server {
	t.Helper()
	s := New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(s.Close)
	if err := s.Set(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	return s
}

// curl runs the real one and returns what it prints.
func curl(t *testing.T, arguments ...string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed, and it is the client that nobody here wrote")
	}
	command := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "--noproxy", "*"}, arguments...)...)
	command.Stderr = t.Output()
	out, err := command.Output()
	if err != nil {
		t.Fatalf("curl %q: %v", arguments, err)
	}
	return string(out)
}

func TestHTTPBody(t *testing.T) {
	r := config.Responder{Protocol: config.ServeHTTP, Address: loopback, Port: freePort(t, "tcp"), Body: "192.168.4.100\n"}
	serving(t, r)
	url := fmt.Sprintf("http://127.0.0.1:%d/", r.Port)

	if got, want := curl(t, url, url+"any/path?query"), "192.168.4.100\n192.168.4.100\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	const format = "%{http_code} %{content_type} %header{content-length} %{size_download} %{num_connects}\n"
	tests := []struct {
		name      string
		arguments []string
		want      string
	}{
		{"GET", []string{url}, "200 text/plain; charset=utf-8 14 14 1\n"},
		{"GET twice, one connection", []string{url, "-o", os.DevNull, url},
			"200 text/plain; charset=utf-8 14 14 1\n200 text/plain; charset=utf-8 14 14 0\n"},
		{"HEAD", []string{"--head", url}, "200 text/plain; charset=utf-8 14 0 1\n"},
		{"a range", []string{"-r", "4-6", url}, "206 text/plain; charset=utf-8 3 3 1\n"},
		{"another method", []string{"-X", "DELETE", url}, "405 text/plain; charset=utf-8 26 26 1\n"},
		{"HTTP/1.0", []string{"--http1.0", url}, "200 text/plain; charset=utf-8 14 14 1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := curl(t, append([]string{"-w", format, "-o", os.DevNull}, tt.arguments...)...); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestHTTPSorryPage(t *testing.T) {
	r := config.Responder{Protocol: config.ServeHTTP, Address: loopback, Port: freePort(t, "tcp"), Body: "sorry\n", Status: 503}
	serving(t, r)
	url := fmt.Sprintf("http://127.0.0.1:%d/", r.Port)
	const format = "%{http_code} %header{content-length}\n"
	if got, want := curl(t, "-w", format, url), "sorry\n503 6\n"; got != want {
		t.Errorf("GET: got %q, want %q", got, want)
	}
	if got, want := curl(t, "-w", format, "-o", os.DevNull, "--head", url), "503 6\n"; got != want {
		t.Errorf("HEAD: got %q, want %q", got, want)
	}
}

func TestHTTPFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	r := config.Responder{Protocol: config.ServeHTTP, Address: loopback, Port: freePort(t, "tcp"), File: path}
	s := New(slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	url := fmt.Sprintf("http://127.0.0.1:%d/", r.Port)

	err := s.Set(t.Context(), []config.Responder{r})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), endpointOf(r).String()) {
		t.Errorf("missing file: got error %v, want one that names listener and file", err)
	}
	if got, want := curl(t, "-w", "%{http_code}", url), "the file to serve is missing\n500"; got != want {
		t.Errorf("missing file: got %q, want %q", got, want)
	}
	if err := os.WriteFile(path, []byte("<p>hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), []config.Responder{r}); err != nil {
		t.Error(err)
	}
	if got, want := curl(t, "-w", "%{content_type}", url), "<p>hello\ntext/html; charset=utf-8"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.File = t.TempDir()
	if err := s.Set(t.Context(), []config.Responder{r}); err == nil {
		t.Error("a directory is taken for a file")
	}
}

func TestHTTPGeneratedText(t *testing.T) {
	const size = 10<<20 + 7
	r := config.Responder{Protocol: config.ServeHTTP, Address: loopback, Port: freePort(t, "tcp"), Size: size}
	serving(t, r)
	url := fmt.Sprintf("http://127.0.0.1:%d/", r.Port)

	var want bytes.Buffer
	for at := 0; want.Len() < size; at += 16 {
		fmt.Fprintf(&want, "%015d\n", at)
	}
	want.Truncate(size)
	if got := curl(t, url); got != want.String() {
		t.Errorf("got %d bytes with digest %x, want %d with %x",
			len(got), sha256.Sum256([]byte(got)), size, sha256.Sum256(want.Bytes()))
	}
	if got, want := curl(t, "-r", "1048590-1048607", url), "6\n000000001048592\n"; got != want {
		t.Errorf("range: got %q, want %q", got, want)
	}
	if got, want := curl(t, "-r", "-5", url), "00000"; got != want {
		t.Errorf("last bytes: got %q, want %q", got, want)
	}
}

func TestHTTPUpload(t *testing.T) {
	r := config.Responder{Protocol: config.ServeHTTP, Address: loopback, Port: freePort(t, "tcp"), Body: "x"}
	serving(t, r)
	url := fmt.Sprintf("http://127.0.0.1:%d/", r.Port)
	upload := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	path := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(path, upload, 0o600); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("1048576 bytes, sha256 %x\n", sha256.Sum256(upload))
	if got := curl(t, "--data-binary", "@"+path, url); got != want {
		t.Errorf("POST: got %q, want %q", got, want)
	}
	if got := curl(t, "-T", path, "-H", "Transfer-Encoding: chunked", url); got != want {
		t.Errorf("chunked PUT: got %q, want %q", got, want)
	}
	announced := []string{"-H", fmt.Sprintf("Content-Length: %d", maxUpload+1), "-H", "Expect: 100-continue", "-T", path}
	got := curl(t, append(announced, "-w", "%{http_code} %{size_upload}", url)...)
	if want := "more than 268435456 bytes\n413 0"; got != want {
		t.Errorf("too much: got %q, want %q", got, want)
	}
}

func TestTCPEcho(t *testing.T) {
	r := config.Responder{Protocol: config.ServeTCPEcho, Address: loopback, Port: freePort(t, "tcp")}
	serving(t, r)
	conn, err := net.Dial("tcp", hostPort(r.Address, r.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("echo"), 1<<14)
	go func() {
		_, _ = conn.Write(sent) // what does not arrive does not come back
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes and %v, want the %d sent and the end", len(got), err, len(sent))
	}
}

// TestUDPEchoAnswersFromTheAddressAsked asks for an address that the kernel
// would not choose by itself to answer from, as it would not choose a VIP. A
// connected socket takes answers from nobody else.
func TestUDPEchoAnswersFromTheAddressAsked(t *testing.T) {
	r := config.Responder{Protocol: config.ServeUDPEcho, Port: freePort(t, "udp")}
	serving(t, r)
	for _, asked := range []string{"127.0.0.7", "127.0.0.1", "::1"} {
		t.Run(asked, func(t *testing.T) {
			conn, err := net.Dial("udp", hostPort(netip.MustParseAddr(asked), r.Port))
			if err != nil {
				t.Skipf("no such address here: %v", err)
			}
			defer conn.Close()
			giveUpLater(t, conn)
			for _, sent := range []string{"echo", ""} {
				if _, err := conn.Write([]byte(sent)); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 100)
				n, err := conn.Read(got)
				if err != nil || string(got[:n]) != sent {
					t.Errorf("got %q, %v; want %q", got[:n], err, sent)
				}
			}
		})
	}
}

// TestUDPEchoDoesNotAnswerEchoPorts sends as another echo server would.
func TestUDPEchoDoesNotAnswerEchoPorts(t *testing.T) {
	r := config.Responder{Protocol: config.ServeUDPEcho, Address: loopback, Port: freePort(t, "udp")}
	serving(t, r)
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.Address, r.Port))
	twin, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: int(r.Port)})
	if err != nil {
		t.Fatal(err)
	}
	defer twin.Close()
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, sender := range []*net.UDPConn{twin, other} {
		if _, err := sender.WriteToUDP([]byte("ping"), server); err != nil {
			t.Fatal(err)
		}
	}
	// The server has one goroutine: when it answered the second datagram, it
	// has dealt with the first, and loopback delivers as it sends.
	giveUpLater(t, other)
	if _, _, err := other.ReadFromUDP(make([]byte, 100)); err != nil {
		t.Fatalf("no answer for an ordinary port: %v", err)
	}
	if n := pending(t, twin); n > 0 {
		t.Errorf("an echo port was answered with %d bytes", n)
	}
}

func TestSetBindsBeforeTheAddressExists(t *testing.T) {
	for _, r := range []config.Responder{
		{Protocol: config.ServeHTTP, Address: netip.MustParseAddr("192.0.2.15"), Port: 80},
		{Protocol: config.ServeTCPEcho, Address: netip.MustParseAddr("192.0.2.15"), Port: 7},
		{Protocol: config.ServeUDPEcho, Address: netip.MustParseAddr("192.0.2.15"), Port: 7},
		{Protocol: config.ServeHTTP, Address: netip.MustParseAddr("2001:db8::15"), Port: 80},
		{Protocol: config.ServeUDPEcho, Address: netip.MustParseAddr("2001:db8::15"), Port: 7},
	} {
		s := New(slog.New(slog.DiscardHandler))
		if err := s.Set(t.Context(), []config.Responder{r}); err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

func TestSetReportsAndRetries(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(taken.Addr().(*net.TCPAddr).Port)
	want := []config.Responder{
		{Protocol: config.ServeHTTP, Address: loopback, Port: port, Body: "late\n"},
		{Protocol: config.ServeHTTP, Address: loopback, Port: freePort(t, "tcp"), Body: "early\n"},
	}
	s := New(slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	err = s.Set(t.Context(), want)
	if text := fmt.Sprintf("serve http 127.0.0.1:%d: ", port); err == nil || !strings.HasPrefix(err.Error(), text) {
		t.Errorf("got error %v, want one that begins with %q", err, text)
	}
	if got := curl(t, fmt.Sprintf("http://127.0.0.1:%d/", want[1].Port)); got != "early\n" {
		t.Errorf("the other listener: got %q", got)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), want); err != nil {
		t.Errorf("again: %v", err)
	}
	if got := curl(t, fmt.Sprintf("http://127.0.0.1:%d/", port)); got != "late\n" {
		t.Errorf("the listener that was late: got %q", got)
	}
}

// TestSetKeepsConnections changes what is served between two requests of one
// connection.
func TestSetKeepsConnections(t *testing.T) {
	r := config.Responder{Protocol: config.ServeHTTP, Address: loopback, Port: freePort(t, "tcp"), Body: "before\n"}
	s := serving(t, r)
	conn, err := net.Dial("tcp", hostPort(r.Address, r.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func() string {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return readAnswer(t, conn)
	}
	if got := ask(); got != "before\n" {
		t.Errorf("got %q", got)
	}
	r.Body = "after\n"
	echo := config.Responder{Protocol: config.ServeTCPEcho, Address: loopback, Port: freePort(t, "tcp")}
	if err := s.Set(t.Context(), []config.Responder{echo, r}); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "after\n" {
		t.Errorf("got %q", got)
	}
	// Another protocol on the same port: the old listener gives it up.
	echo.Port = r.Port
	if err := s.Set(t.Context(), []config.Responder{echo}); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("the idle connection: got %q, %v; want its end", rest, err)
	}
}
