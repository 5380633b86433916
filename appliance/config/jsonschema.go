package config

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// JSONSchema writes the configuration's schema for editors, as JSON Schema of
// draft 2020-12. It knows every key with its help, type, words and bounds; how
// values must fit each other, only Parse knows.
func JSONSchema() []byte {
	root := Describe().jsonObject()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Dipper's configuration"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("BUG: config: the schema is no JSON: %v", err))
	}
	return append(text, '\n')
}

// jsonObject describes a mapping with known keys.
func (s Schema) jsonObject() map[string]any {
	properties := make(map[string]any)
	required := []string{}
	for _, k := range s.Keys {
		property := k.json()
		property["description"] = k.Help
		properties[k.Name] = property
		if k.Required {
			required = append(required, k.Name)
		}
	}
	object := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		object["required"] = required
	}
	return object
}

// json describes the value of a key.
func (s Schema) json() map[string]any {
	switch s.Kind {
	case KindSection:
		return s.jsonObject()
	case KindEntries:
		return map[string]any{"type": "object", "additionalProperties": s.jsonObject()}
	case KindSections:
		return map[string]any{"type": "array", "items": s.jsonObject()}
	case KindValues:
		list := map[string]any{"type": "array", "items": s.jsonValue()}
		if s.Single {
			return map[string]any{"anyOf": []any{s.jsonValue(), list}}
		}
		return list
	}
	value := s.jsonValue()
	if s.Default != "" {
		value["default"] = s.jsonDefault()
	}
	return value
}

func (s Schema) jsonValue() map[string]any {
	value := map[string]any{"type": "string"}
	switch s.Type {
	case TypeNumber:
		value["type"] = "integer"
		setBound(value, "minimum", s.Low)
		setBound(value, "maximum", s.High)
	case TypeBoolean:
		value["type"] = "boolean"
	case TypeChoice:
		value["enum"] = s.Allowed
	case TypeDuration:
		value["pattern"] = `^([0-9]+(\.[0-9]+)?(h|m|s|ms|us))+$`
	}
	if s.Example != "" && s.Type != TypeBoolean && s.Type != TypeNumber {
		value["examples"] = []string{s.Example}
	}
	return value
}

func setBound(value map[string]any, name, bound string) {
	if n, err := strconv.ParseInt(bound, 10, 64); err == nil { // "" for no bound
		value[name] = n
	}
}

// jsonDefault is the default as its type; what is said in words stays text,
// which editors show.
func (s Schema) jsonDefault() any {
	switch {
	case s.Type == TypeNumber && decimal(s.Default):
		return json.Number(s.Default)
	case s.Type == TypeBoolean:
		return s.Default == "true"
	}
	return s.Default
}
