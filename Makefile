# FlashMoE: `make demo` shows it running, `make test` runs every test.

SWIFT ?= swift
PREFIX ?= /usr/local
# Debian names of what is linked; a new machine needs Swift and a C compiler besides.
DEBIAN_PACKAGES := liburing-dev libpcre2-dev libxxhash-dev zlib1g-dev pkg-config
DEMO_RAM ?= 20MB
DEMO_PROMPT ?= Once upon a time there was a little girl who lived in a wood,

.PHONY: help demo test test-tools build benchmarks install dependencies format lint clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo     build, then let the demo model write under a budget smaller than its experts
demo: build
	@echo
	@echo "flashmoe plan --ram $(DEMO_RAM) --ctx 512"
	@.build/release/flashmoe plan --ram $(DEMO_RAM) --ctx 512
	@echo
	@echo "flashmoe run -p '$(DEMO_PROMPT)' -n 120 --ram $(DEMO_RAM) --ctx 512"
	@.build/release/flashmoe run -p '$(DEMO_PROMPT)' -n 120 --ram $(DEMO_RAM) --ctx 512 \
	  --temp 0.8 --top-p 0.95 --seed 7

## make test     run every test (release: numeric Swift is far too slow in debug)
test: dependencies test-tools
	$(SWIFT) test --disable-xctest --scratch-path .build/tests -c release -Xswiftc -enable-testing

# Needs Python 3 alone; without it only these tests are left out.
test-tools:
	@if command -v python3 >/dev/null; then python3 -m unittest discover -q -s tools -t tools; \
	else echo "python3 is missing: tools/compare is not tested"; fi

## make build    build .build/release/flashmoe
build: dependencies
	$(SWIFT) build -c release --product flashmoe

## make benchmarks  what kernels, streamer, cache and engine reach of what this machine can give
benchmarks: dependencies
	$(SWIFT) run -c release --package-path Benchmarks flashmoe-benchmarks

## make install  put flashmoe and its demo model under PREFIX (default /usr/local)
install: build
	install -D .build/release/flashmoe $(DESTDIR)$(PREFIX)/bin/flashmoe
	mkdir -p $(DESTDIR)$(PREFIX)/share/flashmoe
	cp -r Models/demo.fmoe $(DESTDIR)$(PREFIX)/share/flashmoe/

# Installs only what is missing, so that an installed machine needs neither root nor a network.
dependencies:
	@missing=""; for package in $(DEBIAN_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing Debian packages:$$missing"; \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi

## make format   rewrite the sources in the project's format; make lint only checks
format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources

clean:
	rm -rf .build
