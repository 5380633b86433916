package api

import (
	"context"
	"time"
)

// Configurator changes the configuration: by candidates, which are edited in
// private or together, compared, and committed as a whole; and by revisions,
// which are what was committed before.
//
// There are three configurations: the running one, which the kernel follows;
// the saved one, which the machine boots with; and candidates. A commit makes a
// candidate the running and the saved one. What operational commands such as
// ipvsadm change is running only, until Save.
type Configurator interface {
	// Candidates lists those that are open.
	Candidates(ctx context.Context) ([]Candidate, error)
	// OpenCandidate opens a copy of the running configuration, or joins the
	// shared one.
	OpenCandidate(ctx context.Context, shared bool) (Candidate, error)
	// CloseCandidate leaves one. A shared one stays as long as somebody else is
	// in it, or it has changes.
	CloseCandidate(ctx context.Context, id string) error
	// EditCandidate is refused as a whole with *Error, whose Word says which
	// of the edit's words is at fault.
	EditCandidate(ctx context.Context, id string, edit Edit) (Candidate, error)
	// CandidatePath gives the words of a path in full; what they lead to need
	// not be there yet.
	CandidatePath(ctx context.Context, id string, words []string) ([]string, error)
	// ShowCandidate renders what stands at and below path.
	ShowCandidate(ctx context.Context, id string, q ShowQuery) (string, error)
	// CompleteCandidate says what may come after words; the last word is the
	// unfinished one, possibly empty.
	CompleteCandidate(ctx context.Context, id string, q CompleteQuery) ([]Completion, error)
	// CompareCandidate compares with "running", "saved" or a revision number.
	CompareCandidate(ctx context.Context, id, with string) (Comparison, error)
	// Commit validates, plans and applies; with CheckOnly it only says what
	// would be done. Unless Anyway, it is refused with *Error, Conflict set,
	// when the running configuration changed since the candidate was opened.
	Commit(ctx context.Context, id string, o CommitOptions) (Committed, error)
	// Confirm keeps a commit that was made with CommitOptions.Confirm.
	Confirm(ctx context.Context) (Revision, error)
	// Revert undoes an unconfirmed commit at once.
	Revert(ctx context.Context) error

	// ShowConfig renders "running", "saved", "boot" or a revision number. What
	// is wrong in a boot config is not in "boot".
	ShowConfig(ctx context.Context, which string, q ShowQuery) (string, error)
	// CompleteConfig says what may come after words that lead to something in
	// one of those: everybody may look, and no candidate is opened for it.
	CompleteConfig(ctx context.Context, which string, q CompleteQuery) ([]Completion, error)
	// CompareConfigs says what leads from one of those to another. There is no
	// plan: neither need be what the kernel has.
	CompareConfigs(ctx context.Context, from, to string) (Comparison, error)
	// Changes compares the running with the saved configuration.
	Changes(ctx context.Context) (Comparison, error)
	// Save makes the running configuration the saved one.
	Save(ctx context.Context, comment string) (Revision, error)
	Revisions(ctx context.Context) ([]Revision, error)
	// FormatState makes the state volume on a disk and moves what was kept in
	// memory there. A disk that holds anything is refused unless overwrite.
	FormatState(ctx context.Context, device string, overwrite bool) error

	// HostKeys says by which SSH host keys the machine is known.
	HostKeys(ctx context.Context) (HostKeys, error)
	// RotateHostKey takes one step to another host key.
	RotateHostKey(ctx context.Context, step HostKeyStep) (HostKeys, error)
}

// Candidate is a configuration that somebody edits.
type Candidate struct {
	ID      string    `json:"id"`
	Shared  bool      `json:"shared,omitempty"`
	Owner   Actor     `json:"owner"` // who opened it
	Since   time.Time `json:"since"`
	Base    int       `json:"base"`              // generation of the running configuration that it was copied from
	Stale   bool      `json:"stale,omitempty"`   // the running configuration changed since
	Changed bool      `json:"changed,omitempty"` // differs from what it was copied from
	Edits   int       `json:"edits"`             // how many were made, commits among them; of two answers, the later one has more
	// Clashes are, of an update that was the last edit, the settings that
	// somebody else changed too, with both values. The candidate's hold.
	Clashes []string `json:"clashes,omitempty"`
}

// EditKind is what an Edit does.
type EditKind string

// The kinds of edits. Words are as they are typed after the verb.
const (
	EditSet      EditKind = "set"
	EditDelete   EditKind = "delete"
	EditRename   EditKind = "rename"   // PATH… to NAME
	EditCopy     EditKind = "copy"     // PATH… to NAME
	EditInsert   EditKind = "insert"   // PATH… ITEM before|after OTHER
	EditAnnotate EditKind = "annotate" // PATH… with Text; "" removes it
	EditMerge    EditKind = "merge"    // load: adds and changes what Text (YAML or set commands) says
	EditReplace  EditKind = "replace"  // load: replaces the top-level parts that Text has
	EditOverride EditKind = "override" // load: Text is all there is
	EditRollback EditKind = "rollback" // becomes revision Words[0], 0 being the running one; "boot": what is right of the boot config
	EditUpdate   EditKind = "update"   // becomes the running configuration with the candidate's changes on top
	EditDiscard  EditKind = "discard"  // becomes the running configuration
)

// Edit is one edit of a candidate.
type Edit struct {
	Kind  EditKind `json:"kind"`
	Words []string `json:"words,omitempty"`
	Text  string   `json:"text,omitempty"`
}

// ShowFormat is how a configuration is written.
type ShowFormat string

// The formats of a configuration.
const (
	FormatYAML     ShowFormat = "yaml"
	FormatCommands ShowFormat = "commands" // set commands
	FormatJSON     ShowFormat = "json"
)

// ShowQuery says which part of a configuration to show, and how.
type ShowQuery struct {
	Path    []string   `json:"path,omitempty"`
	Format  ShowFormat `json:"format,omitempty"` // FormatYAML if empty
	Secrets bool       `json:"secrets,omitempty"`
}

// CompleteQuery asks what may come next.
type CompleteQuery struct {
	Kind  EditKind `json:"kind"`            // the verb; "" for a path alone, as after show and edit
	Words []string `json:"words"`           // the last one is unfinished
	Limit int      `json:"limit,omitempty"` // 0: 100
}

// Completion is a word that may come next.
type Completion struct {
	Word  string `json:"word"`            // "" when only Help describes what fits, as "<address>"
	Help  string `json:"help,omitempty"`  // one line
	State string `json:"state,omitempty"` // what it is at present: "weight 3, 12 active"
}

// Comparison is the difference between two configurations.
type Comparison struct {
	Tree     []string `json:"tree,omitempty"`     // "[edit services web]", "-  scheduler: rr", "+  scheduler: wrr"
	Commands []string `json:"commands,omitempty"` // set and delete commands that lead there
	Plan     []string `json:"plan,omitempty"`     // kernel edits, as ip, sysctl, nft and ipvsadm commands
	// Disturbed are the kernel edits that connections would not survive, with
	// how many there are.
	Disturbed []string `json:"disturbed,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// CommitOptions say how to commit.
type CommitOptions struct {
	CheckOnly bool   `json:"check-only,omitempty"`
	Comment   string `json:"comment,omitempty"`
	// Confirm is how long the commit lives without Confirm; 0: for good. It
	// also ends a minute after the session that committed is lost (see
	// Actor.Session) and no other confirms.
	Confirm Duration `json:"confirm,omitempty"`
	Anyway  bool     `json:"anyway,omitempty"` // although the running configuration changed
}

// Committed is what became of a commit.
type Committed struct {
	Comparison
	Revision  int       `json:"revision,omitempty"` // 0: nothing changed, or unconfirmed
	ConfirmBy time.Time `json:"confirm-by,omitzero"`
}

// Revision is a configuration that was saved.
type Revision struct {
	Number      int       `json:"number"` // grows for ever; 50 are kept
	Time        time.Time `json:"time"`
	User        string    `json:"user,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Comment     string    `json:"comment,omitempty"`
	Via         string    `json:"via,omitempty"` // "commit", "save", "boot: label:DIPPER"
	// Notes are, of Save, the real servers that are saved with a weight that is
	// not the configured one, a line for each.
	Notes string `json:"notes,omitempty"`
}
