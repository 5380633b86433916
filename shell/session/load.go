package session

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"dipper/appliance/api"
	"dipper/shell/grammar"
	"dipper/shell/web"
)

// maxText bounds a configuration that is loaded, in bytes.
const maxText = 4 << 20

// loadPatience is how long a server may take to hand out a configuration.
const loadPatience = time.Minute

// loadTable is merge, replace and override.
func loadTable(do func(context.Context, *call) error, options ...grammar.Option) []*command {
	source := grammar.Arg{
		Name: "source", Help: "http or https URL", Optional: true,
		Values: []grammar.Value{{Word: "terminal", Help: "what is typed or pasted here"}, {Word: "-", Help: "standard input"}},
		Check:  isSource,
	}
	kinds := []struct{ name, help string }{
		{"merge", "add and change what the file has"},
		{"replace", "replace the top-level parts that the file has"},
		{"override", "the file is all there is"},
	}
	var table []*command
	for _, k := range kinds {
		table = append(table, &command{Name: k.name, Help: k.help, Args: []grammar.Arg{source}, Options: options, Run: verb{do: do, json: len(options) > 0}})
	}
	return table
}

func isSource(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q: expected terminal, - or a URL such as https://192.168.4.1/lb1.yaml", text)
	}
	return nil
}

// loadInto loads into the candidate.
func loadInto(ctx context.Context, c *call) error {
	text, err := c.source(ctx)
	if err != nil {
		return err
	}
	return c.edit(ctx, api.Edit{Kind: api.EditKind(c.Command().Name), Text: text})
}

// source reads what is to be loaded: YAML or set commands.
func (c *call) source(ctx context.Context) (string, error) {
	source := c.Value("source")
	if source == "" || source == "-" || source == "terminal" {
		text, err := c.conversation.text(ctx)
		if err == nil && strings.TrimSpace(text) == "" {
			err = fmt.Errorf("load: there is nothing in it")
		}
		return text, err
	}
	text, err := web.Text(ctx, source, loadPatience, maxText)
	if err != nil {
		return "", fmt.Errorf("load: %w", err)
	}
	return text, nil
}

// loadAndCommit is load outside of configuration mode: it loads into a
// candidate of its own and commits that, or changes nothing.
func loadAndCommit() *command {
	options := slices.DeleteFunc(commitOptions(), func(o grammar.Option) bool { return o.Name == "anyway" || o.Name == "and-quit" })
	return &command{Name: "load", Help: "load a configuration and commit it", Role: api.Admin, Sub: loadTable(loadOutright, options...)}
}

func loadOutright(ctx context.Context, c *call) error {
	text, err := c.source(ctx)
	if err != nil {
		return err
	}
	candidate, err := c.API.OpenCandidate(ctx, false)
	if err != nil {
		return err
	}
	c.enterCandidate(&candidate)
	defer func() { c.conversation.closeCandidate(context.WithoutCancel(ctx)) }()
	if err := c.edit(ctx, api.Edit{Kind: api.EditKind(c.Command().Name), Text: text}); err != nil {
		return err
	}
	return commit(ctx, c)
}
