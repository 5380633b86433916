package appliance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"dipper/appliance/api"
	"dipper/appliance/candidate"
)

// candidateFiles keep candidates where a restarted control plane finds them:
// for each a file with a line about it, what it was copied from, what it was
// when it was last written whole, if that is not the same, and behind that, line
// by line, the edits since. One that nobody has edited is the line alone: it
// says what runs.
type candidateFiles struct {
	dir string
}

// keptCandidate is the first line of a file.
type keptCandidate struct {
	api.Candidate
	Sessions map[string]process `json:"sessions"` // that are in it
	// Lengths are those of the texts that follow, in bytes.
	Lengths []int `json:"lengths"`
}

func (f candidateFiles) path(id string) string { return filepath.Join(f.dir, id+".jsonl") }

// write keeps a candidate whole. The caller holds its lock.
func (f candidateFiles) write(e *edited) error {
	if e.doc.Equal(e.base) {
		return f.put(e)
	}
	return f.put(e, e.base.YAML(), e.doc.YAML())
}

func (f candidateFiles) put(e *edited, texts ...[]byte) error {
	kept := keptCandidate{Candidate: e.Candidate, Sessions: e.sessions.list()}
	for _, text := range texts {
		kept.Lengths = append(kept.Lengths, len(text))
	}
	first, err := json.Marshal(kept)
	if err == nil {
		err = os.MkdirAll(f.dir, 0o700)
	}
	if err == nil {
		err = replace(f.path(e.ID), slices.Insert(texts, 0, append(first, '\n'))...)
	}
	if err != nil {
		return fmt.Errorf("candidate %s: %w", e.ID, err)
	}
	e.whole = len(texts) > 0
	return nil
}

// add keeps one edit more. Where the edit depends on what runs or was saved,
// the candidate is written whole. Before the first one, what it is made in is.
func (f candidateFiles) add(e *edited, edit api.Edit) error {
	switch edit.Kind {
	case api.EditRollback, api.EditUpdate, api.EditDiscard:
		return f.write(e)
	}
	if !e.whole {
		if err := f.put(e, e.base.YAML()); err != nil {
			return err
		}
	}
	line, err := json.Marshal(edit)
	if err != nil {
		return fmt.Errorf("candidate %s: %w", e.ID, err)
	}
	file, err := os.OpenFile(f.path(e.ID), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("candidate %s: %w", e.ID, err)
	}
	_, err = file.Write(append(line, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("candidate %s: %w", e.ID, err)
	}
	return nil
}

// remove forgets a candidate.
func (f candidateFiles) remove(id string) error {
	err := os.Remove(f.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// names are the files of all candidates.
func (f candidateFiles) names() ([]string, error) {
	names, err := filepath.Glob(filepath.Join(f.dir, "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("candidates: %w", err)
	}
	return names, nil
}

// load reads candidates, beside what runs; what cannot be read is an error, and
// the others are there.
func (f candidateFiles) load(names []string, running *candidate.Document) ([]*edited, error) {
	var all []*edited
	var errs []error
	for _, name := range names {
		text, err := os.ReadFile(name)
		var e *edited
		if err == nil {
			e, err = replay(text, running)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		all = append(all, e)
	}
	return all, errors.Join(errs...)
}

// replay makes a candidate of its file. A last line that was cut off when the
// control plane died was never acknowledged.
func replay(text []byte, running *candidate.Document) (*edited, error) {
	first, rest, whole := bytes.Cut(text, []byte("\n"))
	var kept keptCandidate
	if err := json.Unmarshal(first, &kept); err != nil || !whole {
		return nil, errors.Join(errors.New("its first line is not whole"), err)
	}
	if _, err := strconv.Atoi(kept.ID); err != nil {
		return nil, err
	}
	e := &edited{Candidate: kept.Candidate, sessions: company{of: kept.Sessions}}
	e.base, e.doc, e.whole = running, running.Clone(), len(kept.Lengths) > 0
	for i, length := range kept.Lengths {
		if length < 0 || length > len(rest) {
			return nil, errors.New("it is not whole")
		}
		doc := running // what says the same is shared
		if !bytes.Equal(rest[:length], running.YAML()) {
			var err error
			if doc, err = candidate.Parse("candidate", rest[:length]); err != nil {
				return nil, err
			}
		}
		if i == 0 {
			e.base = doc
		}
		e.doc, rest = doc.Clone(), rest[length:]
	}
	for lines := bufio.NewReader(bytes.NewReader(rest)); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return e, nil // the end
		}
		var edit api.Edit
		if err := json.Unmarshal(line, &edit); err != nil {
			return nil, err
		}
		if err := alone(e.doc, edit); err != nil {
			return nil, err
		}
		e.Edits++
	}
}
