"""The tested code behind the book *Variational Autoencoders, Checked*.

Three bands, imports pointing one way only:

* maths (tensors in, tensors out): ``distributions``, ``divergences``, ``likelihoods``,
  ``estimators``, ``bounds``, ``losses``, ``networks``, ``exact_models``;
* the model: ``model``;
* machinery: ``data``, ``drawings``, ``config``, ``runs``, ``evaluation``, ``training``, ``cli``.

``symbolic``, ``plotting``, and ``scalar_autograd`` with ``scalar_vae`` stand apart.
Everything returns nats per example and leaves the reduction over examples to the caller.
"""

__version__ = "0.1.0"
