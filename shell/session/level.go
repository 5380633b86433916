package session

import (
	"context"
	"slices"
	"strconv"

	"dipper/appliance/api"
	"dipper/shell/grammar"
)

// The words that lead to another level than the present one, for good or for the
// command that follows them.
const (
	wordTop = "top"
	wordUp  = "up"
)

// levelWords are the commands whose paths go on from a level.
func levelWords() []*command {
	path := func(kind api.EditKind) grammar.Arg {
		return grammar.Arg{Name: "path", Help: "words of the configuration", Kind: kindPath + " " + string(kind), Repeated: true, Verbatim: true}
	}
	edits := func(kind api.EditKind, help string) *command {
		return &command{Name: string(kind), Help: help, Role: api.Admin, Args: []grammar.Arg{path(kind)}, Run: verb{do: edit(kind)}}
	}
	return []*command{
		edits(api.EditSet, "give a setting its value"),
		edits(api.EditDelete, "remove a setting or all below it"),
		edits(api.EditRename, "give something another name: PATH to NAME"),
		edits(api.EditCopy, "make another like it: PATH to NAME"),
		edits(api.EditInsert, "move within a list: PATH ITEM before|after OTHER"),
		edits(api.EditAnnotate, "write a comment: PATH \"text\""),
		{Name: "edit", Help: "go to a part of the configuration", Args: []grammar.Arg{path("")}, Run: verb{do: editLevel}},
		{Name: "show", Help: "show the candidate, or a part of it", Args: []grammar.Arg{optional(path(""))}, Run: verb{do: showCandidate, json: true, configuration: true}},
	}
}

// levelCommands are top and up: alone they go there, and a command that follows
// is done there.
func levelCommands() []*command {
	levels := grammar.Arg{Name: "levels", Help: "how many levels", Optional: true, Check: isNumber(1, 100)}
	return []*command{
		{Name: wordUp, Help: "go back up, or do a command there", Args: []grammar.Arg{levels}, Bare: true, Run: verb{do: leaveLevel}, Sub: levelWords()},
		{Name: wordTop, Help: "go to the top, or do a command there", Bare: true, Run: verb{do: leaveLevel}, Sub: levelWords()},
	}
}

// levelOf is the level that the paths of a command go on from.
func (c *conversation) levelOf(call *grammar.Call[verb]) []string {
	switch call.Path[0].Name {
	case wordTop:
		return nil
	case wordUp:
		n := 1
		if call.Has("levels") {
			n, _ = strconv.Atoi(call.Value("levels")) // checked when it was read
		}
		return c.level[:max(0, len(c.level)-n)]
	}
	return c.level
}

// path is the path that the command was given, from the top.
func (c *call) path() []string { return append(slices.Clone(c.levelOf(c.Call)), c.Texts("path")...) }

// editLevel goes to a part of the configuration, which need not be there yet.
func editLevel(ctx context.Context, c *call) error {
	level, err := c.API.CandidatePath(ctx, c.candidate.ID, c.path())
	if err != nil {
		return c.atOwnPath(err)
	}
	c.came = append(c.came, c.level)
	c.goTo(level)
	return nil
}

// leaveLevel is up or top alone.
func leaveLevel(_ context.Context, c *call) error {
	c.goTo(c.levelOf(c.Call))
	return nil
}

// exitLevel goes back to where the last edit was said, and leaves configuration
// mode from the top.
func exitLevel(ctx context.Context, c *call) error {
	if len(c.level) == 0 {
		return exitConfiguration(ctx, c)
	}
	c.goTo(c.came[len(c.came)-1])
	return nil
}

// goTo makes a level the present one. What exit would go back to is never it, nor
// below it: one exit leads away from it, and not deeper.
func (c *conversation) goTo(level []string) {
	c.level = level
	c.came = slices.DeleteFunc(c.came, func(before []string) bool {
		return len(before) >= len(level) && slices.Equal(before[:len(level)], level)
	})
}

// atOwnPath gives an error its place among the words of the command's path.
func (c *call) atOwnPath(err error) error {
	return c.atPath(err, c.Words("path"), len(c.levelOf(c.Call)))
}
