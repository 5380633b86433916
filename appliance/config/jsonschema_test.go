package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// validate is as much of JSON Schema as JSONSchema writes.
func validate(schema map[string]any, value any, path string) (faults []string) {
	wrong := func(format string, args ...any) { faults = append(faults, path+": "+fmt.Sprintf(format, args...)) }
	if alternatives, ok := schema["anyOf"].([]any); ok {
		for _, alternative := range alternatives {
			if validate(alternative.(map[string]any), value, path) == nil {
				return nil
			}
		}
		wrong("none of the alternatives")
		return faults
	}
	switch schema["type"] {
	case "object":
		mapping, ok := value.(map[string]any)
		if !ok {
			wrong("no object")
		}
		properties, _ := schema["properties"].(map[string]any)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, given := mapping[name.(string)]; !given {
				wrong("%v is missing", name)
			}
		}
		for name, child := range mapping {
			below, known := properties[name].(map[string]any)
			if !known {
				below, known = schema["additionalProperties"].(map[string]any)
			}
			if !known {
				wrong("%s is not known", name)
				continue
			}
			faults = append(faults, validate(below, child, path+"."+name)...)
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			wrong("no array")
		}
		for i, item := range list {
			faults = append(faults, validate(schema["items"].(map[string]any), item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case "integer":
		n, ok := value.(float64)
		low, hasLow := schema["minimum"].(float64)
		high, hasHigh := schema["maximum"].(float64)
		if !ok || n != float64(int64(n)) || hasLow && n < low || hasHigh && n > high {
			wrong("%v is no integer in bounds", value)
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			wrong("no boolean")
		}
	case "string":
		text, ok := value.(string)
		enum, _ := schema["enum"].([]any)
		pattern, _ := schema["pattern"].(string)
		if !ok || enum != nil && !slices.Contains(enum, any(text)) || pattern != "" && !regexp.MustCompile(pattern).MatchString(text) {
			wrong("%v is no such string", value)
		}
	default:
		wrong("the schema has the type %v", schema["type"])
	}
	return faults
}

// jsonOf is the file as its editor sees it.
func jsonOf(t *testing.T, src string) any {
	t.Helper()
	n, err := readYAML([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return n.json()
}

func (n *node) json() any {
	switch {
	case n.kind == mappingNode:
		mapping := make(map[string]any)
		for _, e := range n.entries {
			mapping[e.key.text] = e.value.json()
		}
		return mapping
	case n.kind == sequenceNode:
		list := []any{}
		for _, item := range n.items {
			list = append(list, item.json())
		}
		return list
	case n.class == integerScalar:
		number, _ := strconv.ParseFloat(n.text, 64) // an integer to YAML is one to Go
		return number
	case n.class == booleanScalar:
		return n.text == "true"
	}
	return n.text
}

// TestJSONSchemaFile keeps the file that editors read up to date; -update
// writes it.
func TestJSONSchemaFile(t *testing.T) {
	const file = "../../docs/config.schema.json"
	if *update {
		if err := os.WriteFile(file, JSONSchema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, JSONSchema()) {
		t.Errorf("%s is not what the key tables say: go test ./appliance/config -run JSONSchemaFile -update", file)
	}
}

// TestJSONSchema holds what the schema says to what Parse takes.
func TestJSONSchema(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(JSONSchema(), &schema); err != nil {
		t.Fatal(err)
	}
	good := append(glob(t, "testdata/good/*.yaml"), glob(t, "../../examples/*/*.yaml")...)
	for _, file := range good {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "lab.yaml") {
			continue // describes a laboratory, not a machine
		}
		for _, fault := range validate(schema, jsonOf(t, string(src)), "") {
			t.Errorf("%s%s", file, fault)
		}
	}
	for src, want := range map[string]string{
		"hostname: a\n":                 ": role is missing",
		"role: both\n":                  ".role: both is no such string",
		"role: director\nservice: {}\n": ": service is not known",
		"role: director\nservices: {web: {forward: 1}}\n":                                            ".services.web.forward: 1 is no such string",
		"role: director\nservices: {web: {forward: dr, real-servers: [{address: a, weight: -1}]}}\n": ".services.web.real-servers[0].weight: -1 is no integer in bounds",
		"role: director\nservices: {web: {forward: dr, persistence: {timeout: 6}}}\n":                ".services.web.persistence.timeout: 6 is no such string",
		"role: director\nipvs: {settings: {conntrack: 1}}\n":                                         ".ipvs.settings.conntrack: no boolean",
	} {
		if got := strings.Join(validate(schema, jsonOf(t, src), ""), "\n"); got != want {
			t.Errorf("%sgot  %s\nwant %s", src, got, want)
		}
	}
}
