"""What is laid into the source of Traefik so that its published module builds, and soon.

The module lacks another that lies beside it in the repository, `dynamic/ext`, and the web UI, which is
made by tools of JavaScript: the dashboard is an empty page. What talks to ECS and to 170 providers of
DNS is left out; their libraries are most of what would be fetched and compiled, and no cluster of the
lab has use for them.
"""

from __future__ import annotations

from collections.abc import Mapping

MODULE = "github.com/traefik/traefik/v3"
EXT = "github.com/traefik/traefik/dynamic/ext"
_LEGO = "github.com/go-acme/lego/v5"

REPLACES: Mapping[str, str] = {
    EXT: "./ext",
    # The revision that upstream names cannot be had from the module proxy.
    "github.com/abbot/go-http-auth": "github.com/containous/go-http-auth "
    "v0.4.1-0.20200324110947-a37a7636d23e",
}
"""Modules in place of those that upstream names."""
FILES: Mapping[str, str] = {
    "ext/go.mod": f"module {EXT}\n\ngo 1.22\n",
    "ext/ext.go": "package ext\n\ntype HTTP struct{}\n\ntype Router struct{}\n",
}
"""Its missing module, with nothing in it, as it is upstream."""

_ECS = f"""package ecs

import (
	"errors"

	"{MODULE}/pkg/config/dynamic"
	"{MODULE}/pkg/safe"
)

const ProviderName = "ecs"

type Provider struct {{
	Region string `json:"region,omitempty"`
}}

func (p *Provider) Init() error {{ return errors.New("this build knows nothing of ECS") }}

func (p *Provider) Provide(chan<- dynamic.Message, *safe.Pool) error {{ return nil }}
"""
_DNS = f"""package dns

import (
	"fmt"

	"{_LEGO}/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {{
	return nil, fmt.Errorf("this build knows no provider of DNS, thus not %s", name)
}}
"""
LAID: Mapping[str, str] = {
    f"{MODULE}//pkg/provider/ecs/ecs.go": _ECS,
    f"{MODULE}//pkg/provider/ecs/config.go": "package ecs\n",
    f"{MODULE}//pkg/provider/ecs/label.go": "package ecs\n",
    f"{_LEGO}//providers/dns/zz_gen_dns_providers.go": _DNS,
}
"""Files of modules, and what they are for the compiler."""
