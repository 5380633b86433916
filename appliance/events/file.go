package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dipper/appliance/api"
)

// fileSize bounds each of the two files that keep events, in bytes.
const fileSize = 1 << 20

// file keeps events for a control plane that is restarted: a line of JSON for
// each. A full file becomes PATH.1, in place of the one before.
type file struct {
	path  string
	lines int
	size  int
}

// openFile answers the events that were kept, the oldest first and numbered
// without a gap. What a control plane that was killed left half written is
// dropped.
func openFile(path string) (*file, []api.Event, error) {
	var kept []api.Event
	for _, name := range [...]string{path + ".1", path} {
		text, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("events: %w", err)
		}
		kept = readEvents(kept, text)
	}
	kept = kept[max(0, len(kept)-maxKept):]
	f := &file{path: path}
	// They begin a file of their own, so that no half line is in the way.
	text, err := writeEvents(kept)
	if err != nil {
		return nil, nil, err
	}
	if err := replace(path+".1", text); err != nil {
		return nil, nil, fmt.Errorf("events: %w", err)
	}
	if err := replace(path, nil); err != nil {
		return nil, nil, fmt.Errorf("events: %w", err)
	}
	return f, kept, nil
}

// readEvents adds the events of a file. Those before a gap are forgotten, and a
// number that was there already is no news.
func readEvents(kept []api.Event, text []byte) []api.Event {
	for line := range bytes.Lines(text) {
		var event api.Event
		if json.Unmarshal(line, &event) != nil || event.Number < 1 {
			continue // half written
		}
		if n := len(kept); n > 0 {
			last := kept[n-1].Number
			if event.Number <= last {
				continue
			}
			if event.Number != last+1 {
				kept = nil
			}
		}
		kept = append(kept, event)
	}
	return kept
}

func writeEvents(all []api.Event) ([]byte, error) {
	var text bytes.Buffer
	for _, event := range all {
		line, err := json.Marshal(event)
		if err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
		text.Write(append(line, '\n'))
	}
	return text.Bytes(), nil
}

// add keeps one more. A nil file keeps nothing.
func (f *file) add(event api.Event) (err error) {
	if f == nil {
		return nil
	}
	line, err := writeEvents([]api.Event{event})
	if err != nil {
		return err
	}
	if f.lines == maxKept || f.size+len(line) > fileSize && f.lines > 0 {
		if err := os.Rename(f.path, f.path+".1"); err != nil {
			return fmt.Errorf("events: %w", err)
		}
		f.lines, f.size = 0, 0
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(line); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	f.lines, f.size = f.lines+1, f.size+len(line)
	return nil
}

// replace writes a file so that a reader, who comes after a restart, sees the
// old or the new one. The directory is in memory: there is nothing to sync.
func replace(path string, text []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
