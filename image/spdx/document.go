// Package spdx owns the image's bill of materials as an SPDX 2.3 JSON document
// (https://spdx.github.io/spdx-spec/v2.3/): what Image says, in SPDX's words. It is
// pure, and the same image always gives the same bytes.
package spdx

// Document is the root of the JSON file; clause 6 of the specification.
type Document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      CreationInfo   `json:"creationInfo"`
	Packages          []Package      `json:"packages"`
	Relationships     []Relationship `json:"relationships"`
}

// CreationInfo is clauses 6.8 and 6.9.
type CreationInfo struct {
	Created  string   `json:"created"` // YYYY-MM-DDThh:mm:ssZ
	Creators []string `json:"creators"`
}

// Package is clause 7.
type Package struct {
	SPDXID                string        `json:"SPDXID"`
	Name                  string        `json:"name"`
	VersionInfo           string        `json:"versionInfo,omitempty"`
	PackageFileName       string        `json:"packageFileName,omitempty"`
	Supplier              string        `json:"supplier,omitempty"`
	DownloadLocation      string        `json:"downloadLocation"`
	FilesAnalyzed         bool          `json:"filesAnalyzed"`
	Checksums             []Checksum    `json:"checksums,omitempty"`
	LicenseConcluded      string        `json:"licenseConcluded"`
	LicenseDeclared       string        `json:"licenseDeclared"`
	CopyrightText         string        `json:"copyrightText"`
	Comment               string        `json:"comment,omitempty"`
	ExternalRefs          []ExternalRef `json:"externalRefs,omitempty"`
	PrimaryPackagePurpose string        `json:"primaryPackagePurpose"`
}

// Checksum is clause 7.10.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"` // hexadecimal, lower case
}

// ExternalRef is clause 7.21.
type ExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// Relationship is clause 11.
type Relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// noAssertion is what SPDX has for what nobody has looked into.
const noAssertion = "NOASSERTION"

const documentID = "SPDXRef-DOCUMENT"
