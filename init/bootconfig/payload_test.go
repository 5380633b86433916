package bootconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

func packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	yaml := []byte("role: director\n")
	largest := bytes.Repeat([]byte{'#'}, MaxSize)
	for _, test := range []struct {
		name    string
		raw     []byte
		want    []byte
		wantErr string
	}{
		{"plain", yaml, yaml, ""},
		{"gzip", packed(t, yaml), yaml, ""},
		{"padded with NUL", append(bytes.Clone(yaml), make([]byte, 497)...), yaml, ""},
		{"largest", largest, largest, ""},
		{"largest, gzip", packed(t, largest), largest, ""},
		{"nothing", nil, nil, "it is empty"},
		{"blank", []byte(" \n\t\x00\x00"), nil, "it is empty"},
		{"blank, gzip", packed(t, []byte("\n")), nil, "it is empty"},
		{"too large", append(largest, '\n'), nil, errTooLarge.Error()},
		{"bomb", packed(t, make([]byte, 4*MaxSize)), nil, "unpack gzip: " + errTooLarge.Error()},
		{"gzip cut off", packed(t, yaml)[:15], nil, "unpack gzip: unexpected EOF"},
		{"gzip with a wrong checksum", flipLast(packed(t, yaml)), nil, "unpack gzip: gzip: invalid checksum"},
	} {
		got, err := unpack(test.raw)
		if !bytes.Equal(got, test.want) || errorText(err) != test.wantErr {
			t.Errorf("%s: got %d bytes and %q, want %d bytes and %q", test.name, len(got), errorText(err), len(test.want), test.wantErr)
		}
	}
}

// TestReadingTakesLittleMemory reads what does not say its size.
func TestReadingTakesLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	data, err := readBounded(io.LimitReader(zeros{}, MaxSize), -1)
	runtime.ReadMemStats(&after)
	if err != nil || len(data) != MaxSize {
		t.Fatalf("read %d bytes, %v", len(data), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 2.25*MaxSize {
		t.Errorf("allocated %d bytes, want two times %d", took, MaxSize)
	}
}

// zeros is /dev/zero.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// flipLast breaks the length and checksum at the end of a gzip member.
func flipLast(data []byte) []byte {
	data[len(data)-8] ^= 1
	return data
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDecodeBase64(t *testing.T) {
	data := []byte{0xfb, 0xff, 0xfe, 'y'} // has + and / in the standard alphabet
	for name, text := range map[string]string{
		"standard":   base64.StdEncoding.EncodeToString(data),
		"no padding": base64.RawStdEncoding.EncodeToString(data),
		"URL":        base64.URLEncoding.EncodeToString(data),
		"in lines":   "+//+\neQ==\n",
	} {
		if got, err := decodeBase64(text); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: got %x and %v, want %x", name, got, err, data)
		}
	}
	if got, err := decodeBase64("role: director"); err == nil {
		t.Errorf("got %q, want an error", got)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("role: director\n"))
	f.Add(packed(f, []byte("role: director\n")))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		data, err := unpack(raw)
		if err == nil && (len(data) > MaxSize || len(bytes.TrimSpace(data)) == 0) {
			t.Errorf("%d bytes without an error", len(data))
		}
	})
}

func FuzzDecodeBase64(f *testing.F) {
	f.Add("cm9sZTogZGlyZWN0b3IK")
	f.Add("+/-_ ==\n")
	f.Fuzz(func(t *testing.T, text string) {
		data, err := decodeBase64(text)
		if err != nil {
			return
		}
		again, err := decodeBase64(base64.StdEncoding.EncodeToString(data))
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q decodes to %x, and its encoding to %x, %v", text, data, again, err)
		}
	})
}

func TestReadBoundedBelievesNoSize(t *testing.T) {
	if _, err := readBounded(strings.NewReader("x"), 1<<40); !errors.Is(err, errTooLarge) {
		t.Errorf("error is %v, want errTooLarge", err)
	}
	if data, err := readBounded(strings.NewReader("role"), -1); err != nil || string(data) != "role" {
		t.Errorf("got %q and %v", data, err)
	}
}
