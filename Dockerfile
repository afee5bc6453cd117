# KOK's one image: the three operators and the `kok` command.
#
#   podman build --tag kok .
#   buildah bud --build-arg BASE=registry.example/python:3.12 --tag kok .
#
# BASE needs Python 3.11 or newer with venv; builder and result use the same one. Behind a private
# package index: pass PIP_INDEX_URL, and for a private CA mount its file (--volume) and name it by
# PIP_CERT. Neither ends up in the image. Where get.helm.sh cannot be reached: mount a helm of that
# version (--volume) and name its path by HELM.
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
ARG PIP_CERT
ARG PIP_INDEX_URL
WORKDIR /build
COPY requirements/runtime.txt requirements/build.txt requirements/
# The builder's pip installs into /opt/kok from outside, so that the result holds no pip.
RUN python3 -m venv tools \
    && python3 -m venv --without-pip /opt/kok \
    && tools/bin/pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
    && tools/bin/pip --python /opt/kok/bin/python3 install --no-cache-dir --no-compile \
        --require-hashes --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
# Bytecode that does not depend on file times starts fast on a read-only file system, too.
RUN tools/bin/python -m hatchling build --target wheel --directory dist \
    && tools/bin/pip --python /opt/kok/bin/python3 install --no-cache-dir --no-compile \
        --no-deps dist/*.whl \
    && find /opt/kok -type d -name tests -prune -exec rm -rf {} + \
    && /opt/kok/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/kok/lib

FROM ${BASE} AS helm
ARG HELM
ARG HELM_VERSION=v4.3.1
WORKDIR /fetch
COPY scripts/image_helm.py ./
RUN python3 image_helm.py helm "${HELM_VERSION}" "${HELM}"

FROM ${BASE}
COPY --from=build /opt/kok /opt/kok
# Renders the charts of Addons, in a process with limits.
COPY --from=helm /fetch/helm /opt/kok/bin/helm
# Libraries ask for a user name, and the number below has none.
ENV PATH=/opt/kok/bin:$PATH \
    USER=kok \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="kok" \
      org.opencontainers.image.description="Kubernetes clusters as custom resources of another one" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
WORKDIR /
# No init is needed: kok handles SIGTERM itself and waits for the few processes that it starts.
ENTRYPOINT ["/opt/kok/bin/kok"]
CMD ["operator", "--all"]
