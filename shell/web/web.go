// Package web gets a text from a web server, for somebody who typed its URL: a
// configuration, a public key. It bounds how long that takes and how large the
// text is, and knows nothing of what is in it.
package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Text gets the text at an http or https URL: within a time, and of at most so
// many bytes. Any answer but 200 is an error.
func Text(ctx context.Context, url string, within time.Duration, most int64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", request.URL.Redacted(), response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s: larger than %d bytes", request.URL.Redacted(), most)
	}
	return string(text), err
}
