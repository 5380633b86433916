package bootconfig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"pack.ag/tftp"
)

// The limits of one try, and the waits between tries.
const (
	tryPatience  = 15 * time.Second
	maxRedirects = 5
	firstDelay   = 500 * time.Millisecond
	maxDelay     = 8 * time.Second
)

// permanentError says that another try would end the same way.
type permanentError struct{ err error }

func (e permanentError) Error() string { return e.err.Error() }
func (e permanentError) Unwrap() error { return e.err }

// fetcher gets the bytes behind a URL and tries again while that may help.
type fetcher struct {
	get    func(context.Context, *url.URL) ([]byte, error) // one try
	jitter func() float64                                  // in [0, 1)
	log    *slog.Logger
}

func newFetcher(authorities *x509.CertPool, log *slog.Logger) fetcher {
	client := newHTTPClient(authorities)
	return fetcher{
		get: func(ctx context.Context, u *url.URL) ([]byte, error) {
			if u.Scheme == "tftp" {
				return getTFTP(ctx, u)
			}
			return getHTTP(ctx, client, u)
		},
		jitter: rand.Float64,
		log:    log,
	}
}

// fetch tries until it has the bytes, another try is useless, or ctx ends. The
// delay doubles from try to try and varies by half of it, so that a fleet that
// lost power together does not come back to its server in step.
func (f fetcher) fetch(ctx context.Context, u *url.URL) ([]byte, error) {
	started, delay := time.Now(), firstDelay
	for try := 1; ; try++ {
		data, err := f.try(ctx, u)
		if err == nil {
			return data, nil
		}
		if errors.As(err, new(permanentError)) || errors.Is(err, errTooLarge) {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		wait := time.Duration(float64(delay) * (0.5 + f.jitter()/2))
		if ctx.Err() == nil {
			f.log.WarnContext(ctx, "boot config: fetch again", "url", u.Redacted(), "in", wait.Round(time.Millisecond), "error", err)
		}
		if !sleep(ctx, wait) {
			took := time.Since(started).Round(time.Second)
			return nil, fmt.Errorf("fetch: gave up after %d tries in %s: %w", try, took, err)
		}
		delay = min(2*delay, maxDelay)
	}
}

func (f fetcher) try(ctx context.Context, u *url.URL) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tryPatience)
	defer cancel()
	return f.get(ctx, u)
}

// newHTTPClient trusts the authorities and no environment: no proxy, few
// redirects, never from https to http, no compression but the file's own.
func newHTTPClient(authorities *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{RootCAs: authorities},
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			DisableKeepAlives:      true,
		},
		CheckRedirect: checkRedirect,
	}
}

func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return permanentError{fmt.Errorf("more than %d redirects", maxRedirects)}
	}
	secure := via[0].URL.Scheme == "https"
	switch next.URL.Scheme {
	case "https":
		return nil
	case "http":
		if !secure {
			return nil
		}
	}
	return permanentError{fmt.Errorf("redirect from %s to %s is refused", via[0].URL.Scheme, next.URL.Scheme)}
}

func getHTTP(ctx context.Context, client *http.Client, u *url.URL) (data []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, permanentError{err}
	}
	request.Header.Set("User-Agent", "dipper")
	response, err := client.Do(request)
	if err != nil {
		return nil, explainTLS(err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if err := checkStatus(response); err != nil {
		return nil, err
	}
	return readBounded(response.Body, response.ContentLength)
}

// checkStatus takes 200 only. The server's refusals are final, but for those
// that ask to come again (RFC 9110, section 15.5; RFC 6585; RFC 8470).
func checkStatus(response *http.Response) error {
	code := response.StatusCode
	if code == http.StatusOK {
		return nil
	}
	err := fmt.Errorf("the server answered %s", response.Status)
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return err
	}
	if code >= 500 {
		return err
	}
	return permanentError{err}
}

// explainTLS adds to a refused certificate what is most likely wrong, and makes
// it final. A machine without a battery wakes up years before its certificates.
func explainTLS(err error) error {
	var unverified *tls.CertificateVerificationError
	if !errors.As(err, &unverified) {
		return err
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		now := time.Now().UTC().Format(time.RFC3339)
		return permanentError{fmt.Errorf("%w; this machine's clock says %s: if that is wrong, set it in the firmware", err, now)}
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.SystemRootsError)) {
		return permanentError{fmt.Errorf("%w; add the authority's certificate to /etc/ssl/certs with a second initrd", err)}
	}
	return permanentError{err}
}

// tftpBlock fills an Ethernet frame: RFC 2348 with 1500 bytes of IPv6 payload.
const tftpBlock = 1428

// getTFTP reads a file by TFTP (RFC 1350). The library knows no context, so the
// transfer runs beside; one that is left behind ends by its own timeouts.
func getTFTP(ctx context.Context, u *url.URL) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := transferTFTP(ctx, u)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// transferTFTP turns a panic of the library, which parses what the network
// sends, into an error: it must not end the process.
func transferTFTP(ctx context.Context, u *url.URL) (data []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = permanentError{fmt.Errorf("tftp: the server's answer broke the client: %v", fault)}
		}
	}()
	client, err := tftp.NewClient(tftp.ClientBlocksize(tftpBlock), tftp.ClientRetransmit(3))
	if err != nil {
		return nil, fmt.Errorf("tftp: %w", err)
	}
	response, err := client.Get(u.String())
	if err != nil {
		return nil, explainTFTP(err)
	}
	size, err := response.Size()
	if err != nil {
		size = 0 // the server does not know the option
	}
	data, err = readBounded(contextReader{ctx, response}, size)
	if err != nil {
		return nil, explainTFTP(err)
	}
	return data, nil
}

// explainTFTP makes the server's own word final: it said which file it lacks.
func explainTFTP(err error) error {
	if tftp.IsRemoteError(err) {
		return permanentError{fmt.Errorf("tftp: the server answered: %w", err)}
	}
	return fmt.Errorf("tftp: %w", err)
}

// contextReader stops reading when its context has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
