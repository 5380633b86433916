package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ten":
			_, _ = io.WriteString(w, "0123456789") // the test sees what arrives
		case "/never":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for _, tt := range []struct {
		name, path string
		within     time.Duration
		most       int64
		want, says string
	}{
		{"all that is allowed", "/ten", time.Minute, 10, "0123456789", ""},
		{"a byte more", "/ten", time.Minute, 9, "", "/ten: larger than 9 bytes"},
		{"not there", "/other", time.Minute, 10, "", "/other: 404 Not Found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := Text(t.Context(), server.URL+tt.path, tt.within, tt.most)
			if tt.says == "" && (err != nil || text != tt.want) {
				t.Errorf("Text = %q, %v, want %q", text, err, tt.want)
			}
			if tt.says != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.says)) {
				t.Errorf("Text = %q, %v, want an error that ends with %q", text, err, tt.says)
			}
		})
	}
	if _, err := Text(t.Context(), server.URL+"/never", time.Millisecond, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that never answers: %v", err)
	}
}

// TestNoErrorTellsThePassword: errors are in the audit log.
func TestNoErrorTellsThePassword(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/long" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "0123456789") // as above
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, url := range []string{"http://ann:geheim@" + host + "/none", "http://ann:geheim@" + host + "/long", "http://ann:geheim@127.0.0.1:1/", "ftp://ann:geheim@" + host} {
		if _, err := Text(t.Context(), url, time.Minute, 5); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
